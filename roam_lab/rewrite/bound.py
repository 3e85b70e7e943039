"""What no rewriting gets below."""

from __future__ import annotations

from dataclasses import dataclass

from roam_lab.ir.graph import Graph
from roam_lab.rewrite.chains import chain_classes
from roam_lab.rewrite.kinds import ON_DEVICE


@dataclass(frozen=True, slots=True)
class RewriteBound:
    """Of all rewritings of one order that recompute just in time: `peak_bytes`, no live peak is lower with at most the
    plan's extra time; `extra_time`, none adds less with at most the plan's live peak (a fraction of the graph's time,
    0 where nothing better is proven)."""

    peak_bytes: int
    extra_time: float


def least_bytes(graph: Graph, kinds: frozenset[str] = frozenset(ON_DEVICE)) -> int:
    """A lower bound on the live peak at any extra time: what the op that needs most holds by itself.

    A result counts only once with what it may take the place of. Where fusing is allowed, ops that can be a part of a
    chain are left out: their operands may pass inside.
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
