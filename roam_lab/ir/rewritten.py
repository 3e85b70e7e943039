"""A graph made from another by rewriting: every op is an op of the other, a copy of one, several fused, or a move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from roam_lab.ir.graph import Graph


@dataclass(frozen=True, slots=True)
class Origin:
    """What an op of a rewritten graph does, in terms of the graph before.

    `ops`: the ops that it is or repeats; several run one after the other, fused. `reads[k]` is the storage that holds
    what the origins' k-th read storage held (all origins' reads one after the other), `results[k]` the storage, created
    or written in place, that takes what their k-th created storage held, `writes[k]` likewise for what they write in
    place; None where a value passes inside. `copies`: (from, to) for an op that moves a storage's contents to or from
    the host; it has no origins.
    """

    ops: tuple[int, ...]
    reads: tuple[int | None, ...] = ()
    results: tuple[int | None, ...] = ()
    writes: tuple[int | None, ...] = ()
    copies: tuple[int, int] | None = None


@dataclass(frozen=True)
class Rewritten:
    """`graph`, whose op i is `origins[i]`; the storages of the graph before keep their indices, new ones come after.

    Its ops stand in the order in which they are meant to run.
    """

    graph: Graph
    origins: tuple[Origin, ...]

    @property
    def recomputed(self) -> int:
        """How many ops run again that ran before."""
        runs = [index for origin in self.origins for index in origin.ops]
        return len(runs) - len(set(runs))

    @property
    def offloaded_bytes(self) -> int:
        """Bytes that are moved to the host."""
        storages = self.graph.storages
        moves = (origin.copies for origin in self.origins if origin.copies)
        return sum(storages[to].bytes for _, to in moves if storages[to].region == "host")


def repeated(origins: Sequence[Origin]) -> frozenset[int]:
    """The ops that run again, wholly or in part, what ran before; `origins` in the order in which they run."""
    seen: set[int] = set()
    found: set[int] = set()
    for index, origin in enumerate(origins):
        if not seen.isdisjoint(origin.ops):
            found.add(index)
        seen.update(origin.ops)
    return frozenset(found)


def untouched(graph: Graph) -> Rewritten:
    """`graph` as a rewriting of itself that changes nothing."""
    return Rewritten(
        graph, tuple(Origin((index,), op.reads, op.creates, op.writes) for index, op in enumerate(graph.ops))
    )
