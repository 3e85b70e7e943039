"""The rewrite strategy `ilp`: save sets by integer program."""

from __future__ import annotations

from roam_lab.ir.graph import Graph
from roam_lab.registry import strategy
from roam_lab.rewrite.explorer import Explorer
from roam_lab.rewrite.goals import aim_at
from roam_lab.rewrite.greedy import EFFORT
from roam_lab.rewrite.points import Found, Goals, points_of
from roam_lab.rewrite.tape import problem_of


@strategy(
    "rewrite",
    "ilp",
    source="Checkmate's constraints (arXiv 1910.02653) at the hottest instants alone; HiGHS",
    parameters=(EFFORT,),
)
def ilp(graph: Graph, goals: Goals, effort: int = EFFORT.default) -> Found:
    """The cheapest storages to save at the instants of highest memory, by integer program; then repaired, polished."""
    explorer = Explorer(problem_of(graph, goals.kinds, goals.order), effort)
    explorer.see(explorer.problem.start)
    bounds = aim_at(explorer, goals)
    return Found(points_of(explorer, "ilp"), bounds)
