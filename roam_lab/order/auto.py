"""The automatic order."""

from __future__ import annotations

import time

from roam_lab.ir import Graph, Order
from roam_lab.order.improve import Budget, improved
from roam_lab.order.list_scheduling import best_pass
from roam_lab.order.problem import problem_of
from roam_lab.registry import Parameter, strategy

EFFORT = 20_000_000
"""Arcs of cut networks that improving may cost unless a time limit is given."""


@strategy(
    "order",
    "auto",
    source="a portfolio with a proof (DESIGN)",
    parameters=(Parameter("time_limit", float, 60.0, "seconds", low=0.0),),
)
def auto(graph: Graph, time_limit: float = 60.0) -> Order:
    """List scheduling, improved while it is not proven optimal."""
    deadline = time.perf_counter() + time_limit
    problem = problem_of(graph)
    order = best_pass(problem)
    return tuple(improved(problem, order, Budget(EFFORT, deadline)))
