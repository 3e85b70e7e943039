"""A graph made from another by rewriting: each of its ops is an op of the other graph, a copy of one, several fused
into one, or a copy of a storage to or from the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from roam_lab.ir.graph import Graph


@dataclass(frozen=True, slots=True)
class Origin:
    """What an op of a rewritten graph does, in terms of the graph before.

    `ops`: the ops that it is or repeats, indices of the graph before; several are fused, and run one after the other.

    The other fields map storages. Take the `reads` of all `ops` in sequence: `reads[k]` is the storage in which the new
    op finds the value that the k-th of them held. Likewise `results[k]` is the storage, created or written in place,
    into which it puts the value of their k-th created storage, and `writes[k]` the one in which it changes the value
    that their k-th written storage held. None: the value never leaves the fused op.

    `copies`: (source, target) for an op that copies a storage to or from the host; such an op has no `ops`.
    """

    ops: tuple[int, ...]
    reads: tuple[int | None, ...] = ()
    results: tuple[int | None, ...] = ()
    writes: tuple[int | None, ...] = ()
    copies: tuple[int, int] | None = None


@dataclass(frozen=True)
class Rewritten:
    """The rewritten `graph`; `origins[i]` says what its op i does.

    Its ops stand in the order in which they are meant to run. The storages of the graph before keep their indices; new
    ones come after them.
    """

    graph: Graph
    origins: tuple[Origin, ...]

    @property
    def recomputed(self) -> int:
        """How many ops repeat an op that has run already."""
        runs = [index for origin in self.origins for index in origin.ops]
        return len(runs) - len(set(runs))

    @property
    def offloaded_bytes(self) -> int:
        """Bytes that are copied to the host."""
        storages = self.graph.storages
        moves = (origin.copies for origin in self.origins if origin.copies)
        return sum(storages[to].bytes for _, to in moves if storages[to].region == "host")


def repeated(origins: Sequence[Origin]) -> frozenset[int]:
    """Indices of the rewritten graph's ops that repeat, wholly or in part, an op that has run already. `origins` stand
    in running order."""
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
