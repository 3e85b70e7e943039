"""Rewritings that cost no time."""

from __future__ import annotations

from roam_lab.ir.graph import Graph
from roam_lab.registry import strategy
from roam_lab.rewrite.explorer import Explorer
from roam_lab.rewrite.points import Found, Goals, points_of
from roam_lab.rewrite.tape import free_problem


@strategy("rewrite", "free", source="in-place reuse as in ONNX Runtime and XLA's buffer assignment; chains run by rows")
def free(graph: Graph, goals: Goals) -> Found:
    """In place and fused, nothing computed twice; updates as early as they may run."""
    explorer = Explorer(free_problem(graph, goals.kinds), 1)
    explorer.see(explorer.problem.start)
    return Found(points_of(explorer, "free"))
