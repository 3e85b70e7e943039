"""The rewrite strategy `greedy`: descent by bytes relieved per time."""

from __future__ import annotations

from roam_lab.ir.graph import Graph
from roam_lab.registry import Parameter, strategy
from roam_lab.rewrite.explorer import Explorer
from roam_lab.rewrite.goals import polish_at
from roam_lab.rewrite.points import Found, Goals, points_of
from roam_lab.rewrite.sweep import sweep
from roam_lab.rewrite.tape import problem_of

EFFORT = Parameter("effort", int, 40_000, "states that may be evaluated", low=1)


@strategy(
    "rewrite",
    "greedy",
    source="benefit per cost at the peak, as in Dynamic Tensor Rematerialization (arXiv 2006.09616), ahead of time",
    parameters=(EFFORT,),
)
def greedy(graph: Graph, goals: Goals, effort: int = EFFORT.default) -> Found:
    """Drops the storages that lower the peak most for the time they cost; keeps again what need not be dropped."""
    explorer = Explorer(problem_of(graph, goals.kinds, goals.order), effort)
    sweep(explorer, explorer.problem.start)
    polish_at(explorer, goals)
    return Found(points_of(explorer, "greedy"))
