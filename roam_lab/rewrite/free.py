"""The rewrite strategy `free`: rewritings that cost no time."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from roam_lab.ir.graph import Graph
from roam_lab.registry import strategy
from roam_lab.rewrite.explorer import Explorer
from roam_lab.rewrite.points import Found, Goals, points_of
from roam_lab.rewrite.tape import free_problem


@strategy("rewrite", "free", source="in-place reuse as in ONNX Runtime and XLA's buffer assignment; chains run by rows")
def free(graph: Graph, goals: Goals) -> Found:
    """Ops in place and fused wherever that is possible, none run twice; updates as early as they may run."""
    explorer = Explorer(free_problem(graph, goals.kinds, goals.order))
    explorer.see(explorer.problem.start)
    return Found(points_of(explorer, "free"))


def free_peak(graph: Graph, kinds: Collection[str], order: Sequence[int] | None) -> int:
    """Bytes of an order's live peak after the rewritings that cost no time (`order` None: the base order)."""
    explorer = Explorer(free_problem(graph, kinds, order))
    return explorer.see(explorer.problem.start).peak
