"""Dominant schedules as a strategy."""

from __future__ import annotations

import time

from roam_lab.ir import Graph, captured_order
from roam_lab.order.dominance.bottleneck import bottleneck_of
from roam_lab.order.dominance.solve import solved
from roam_lab.order.effort import Effort, SpentError
from roam_lab.order.outcome import Outcome
from roam_lab.order.problem import problem_of
from roam_lab.registry import Parameter, strategy

PARAMETERS = (
    Parameter("time_limit", float, None, "seconds after which the best found is returned (None: by effort)", low=0),
    Parameter("effort", int, 1_000_000, "steps that searches may try: about half a million a second", low=0),
    Parameter(
        "only",
        str,
        "everything",
        "reorder everything, or the part that sets the captured order's peak alone",
        choices=("everything", "bottleneck"),
    ),
)


TIMED_OUT = "the time limit struck first; a larger time_limit may give a lower peak or a proof"
SPENT = "searching what is not series-parallel took all the effort; a larger effort may give a lower peak or a proof"


@strategy(
    "order",
    "dominant",
    source="Jin et al., arXiv 2312.13526; Liu 1987; Abdel-Wahab and Kameda 1978; Kayaaslan et al. 2018",
    parameters=PARAMETERS,
)
def dominant(
    graph: Graph, time_limit: float | None = None, effort: int = 1_000_000, only: str = "everything"
) -> Outcome:
    """Dominant schedules: series-parallel parts solved exactly, inside out, each then a chain of hills and valleys.

    | the graph                          | what runs                                                             |
    |------------------------------------|-----------------------------------------------------------------------|
    | any                                | ops whose best moment does not depend on the others are taken out or   |
    |                                    | joined to a neighbour; series-parallel parts that share no storage     |
    |                                    | with what runs beside them are solved (independent branches by merging |
    |                                    | hills, pumpkins by `pumpkin_run`, others by search) and contracted     |
    | is contracted to one chain         | nothing more: the order is optimal, and that is proven                 |
    | something else is left             | list scheduling of the hills left, then a search for anything better,  |
    |                                    | which is a proof too if it ends within the effort                      |

    Never above the captured order. Without a time limit the order depends on the graph and the effort alone. That every
    graph has a dominant schedule, and where to split for it, follows here from memory being submodular over
    sets of finished ops: see `States.lowest` and `descend`. Pumpkins (chains that share one storage, with one reader in
    each) are solved by branch and bound over where each chain stands when it is freed; other branches that share
    storages are searched.
    """
    deadline = None if time_limit is None else time.perf_counter() + time_limit
    problem = problem_of(graph)
    captured = captured_order(graph)
    budget = Effort(effort, deadline)
    if only == "bottleneck":
        try:
            return Outcome(bottleneck_of(problem, captured, budget).order)
        except SpentError:
            return Outcome(captured, timed_out=True, note=TIMED_OUT)
    found = solved(problem, budget)
    peak = problem.peak(found.order)
    # Ties go to the captured order: a plan that changes nothing is the better one.
    order = captured if problem.peak(captured) <= peak else tuple(found.order)
    if found.exact:
        return Outcome(order, lower_bound_bytes=problem.peak(order))
    return Outcome(order, timed_out=found.timed_out, note=TIMED_OUT if found.timed_out else SPENT)
