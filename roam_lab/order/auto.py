"""The automatic order."""

from __future__ import annotations

import time

from roam_lab.ir import Graph, Order, captured_order
from roam_lab.order.improve import Budget, improved
from roam_lab.order.list_scheduling import best_pass
from roam_lab.order.problem import problem_of
from roam_lab.registry import Parameter, strategy

EFFORT = 2_000_000
"""Arcs of cut networks that improving may cost: about two seconds."""


@strategy(
    "order",
    "auto",
    source="list scheduling, then splits at minimum cuts (DESIGN: Proof; ROAM, section 4)",
    parameters=(Parameter("time_limit", float, None, "seconds until the last split begins (None: by effort)", low=0),),
)
def auto(graph: Graph, time_limit: float | None = None) -> Order:
    """List scheduling, led through the cheapest state of its peak while that lowers it: what to use.

    | the graph                       | what runs                                                        |
    |---------------------------------|------------------------------------------------------------------|
    | any                             | list scheduling; the captured order if that is as good           |
    | its peak is not proven optimal  | splits at minimum cuts, within the effort and the time limit     |
    | has external storages           | also orders for each region of the arena; the least sum of their |
    |                                 | peaks is kept, as both regions are reserved                      |

    Without a time limit the order depends on the graph alone.
    """
    budget = Budget(EFFORT, None if time_limit is None else time.perf_counter() + time_limit)
    whole = problem_of(graph)
    regions = [whole]
    if any(storage.external for storage in graph.storages):
        regions += [problem_of(graph, external=False), problem_of(graph, external=True)]
    reserved = regions[1:] or regions
    captured = list(captured_order(graph))
    candidates = [captured]
    for problem in regions:
        candidates.append(best_pass(problem))
        candidates.append(improved(problem, candidates[-1], budget))
    most = whole.peak(captured)
    costs = {
        number: (sum(region.peak(order) for region in reserved), peak, number)
        for number, order in enumerate(candidates)
        if (peak := whole.peak(order)) <= most
    }
    return tuple(candidates[min(costs, key=lambda number: costs[number])])
