"""Lower bounds of rewriting: the live peak, or the extra time, that no rewriting can be below."""

from __future__ import annotations

from dataclasses import dataclass

from roam_lab.ir.graph import Graph
from roam_lab.rewrite.chains import chain_classes
from roam_lab.rewrite.kinds import ON_DEVICE


@dataclass(frozen=True, slots=True)
class RewriteBound:
    """A proven bound over all rewritings of one order that recompute a storage just before its next use.

    `peak_bytes`: none that adds at most the plan's extra time has a lower live peak. `extra_time`: none with at most
    the plan's live peak adds less (a fraction of the graph's time; 0 where nothing better is proven).
    """

    peak_bytes: int
    extra_time: float


def least_bytes(graph: Graph, kinds: frozenset[str] = frozenset(ON_DEVICE)) -> int:
    """A lower bound on the live peak, in bytes, at any extra time: the most that one op reads and creates.

    A result and the operand whose memory it may take count once. Where fusing is allowed, ops that can be part of a
    chain are left out: their operands and results need not be whole in memory.
    """
    classes = chain_classes(graph) if "fuse" in kinds else [None] * len(graph.ops)
    most = 0
    for op, found in zip(graph.ops, classes, strict=True):
        if found is None:
            sizes = {
                s: graph.storages[s].bytes for s in (*op.creates, *op.touches) if not graph.storages[s].always_there
            }
            taken = {new for new, _ in op.reuse} if "in_place" in kinds else set()
            most = max(most, sum(size for storage, size in sizes.items() if storage not in taken))
    return most
