"""The rewrite strategy `auto`: save sets, then local search where they leave a gap to their bound."""

from __future__ import annotations

from roam_lab.ir.graph import Graph
from roam_lab.registry import Parameter, strategy
from roam_lab.rewrite.explorer import Explorer
from roam_lab.rewrite.goals import aim_at, open_goals, search_at
from roam_lab.rewrite.points import Found, Goals, points_of
from roam_lab.rewrite.sweep import sweep
from roam_lab.rewrite.tape import problem_of

SWEPT = 20_000
"""How many states save sets and sweep may evaluate, beside the `effort` of the local search."""


@strategy(
    "rewrite",
    "auto",
    source="save sets (Checkmate, arXiv 1910.02653), greedy descent, local search over repeated blocks",
    parameters=(
        Parameter("effort", int, 5_000, "states that may be evaluated for each goal", low=1),
        Parameter("seed", int, 0, "of the random draws", low=0),
    ),
)
def auto(graph: Graph, goals: Goals, effort: int = 5_000, seed: int = 0) -> Found:
    """What to keep and what to make again by an integer program; where that leaves a gap to its bound, by search, too.

    | at first               | the save set of each goal, expanded, repaired, polished                      |
    | where a gap is left    | search from the best states known: a block's decisions copied to others, a   |
    |                        | few gaps toggled; repaired, polished. In a model without repeated blocks,    |
    |                        | greedy descent before that                                                   |

    Effort is counted in states evaluated, so the result depends on the graph and the parameters alone.
    """
    count = max(1, len(goals.extra_times) + len(goals.budgets))
    explorer = Explorer(problem_of(graph, goals.kinds, goals.order), effort * count + SWEPT)
    explorer.see(explorer.problem.start)
    bounds = aim_at(explorer, goals)
    if goals.budgets or open_goals(explorer, goals, bounds):
        if not explorer.roles.levels:
            sweep(explorer, explorer.problem.start, fall=0.93)
        search_at(explorer, goals, bounds, effort, seed)
    return Found(points_of(explorer, "auto"), bounds)
