"""The dependences (`Op.after`) of a rewritten graph, found while its ops are appended in running order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from roam_lab.ir.graph import Graph


class Dependences:
    """The dependences of the ops appended so far: data, anti- and output dependences by storage, random numbers in
    captured sequence, and those dependences of the graph before that no storage explains."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._writer: dict[int, int] = {}
        self._readers: dict[int, list[int]] = {}
        self._first: dict[int, int] = {}
        self._random: int | None = None
        self._count = 0
        self._others: dict[int, list[int]] = {}
        uses = [{*op.creates, *op.touches} for op in graph.ops]
        for index, op in enumerate(graph.ops):
            unexplained = [before for before in op.after if not uses[before] & uses[index]]
            if unexplained:
                self._others[index] = unexplained

    def of(
        self, origins: Sequence[int], reads: Iterable[int | None], changes: Iterable[int], created: Iterable[int]
    ) -> tuple[int, ...]:
        """Append an op, and return the ops that it must follow, ascending. `origins`: the ops of the graph before that
        it does; `reads`, `changes`, `created`: storages of the rewritten graph."""
        number = self._count
        self._count += 1
        after: set[int] = set()
        for storage in reads:
            if storage is not None and storage in self._writer:
                after.add(self._writer[storage])
        for storage in changes:
            after.update(self._readers.get(storage, ()))
            after.update(place for place in (self._writer.get(storage),) if place is not None)
        for index in origins:
            after.update(self._first[before] for before in self._others.get(index, ()) if before in self._first)
            self._first.setdefault(index, number)
            if self._graph.ops[index].random:
                after.update(place for place in (self._random,) if place is not None)
                self._random = number
        for storage in (*changes, *created):
            self._writer[storage] = number
            self._readers[storage] = []
        for storage in reads:
            if storage is not None:
                self._readers.setdefault(storage, []).append(number)
        after.discard(number)
        return tuple(sorted(after))
