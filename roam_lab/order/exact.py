"""The order of least peak, by dynamic programming over the states that a schedule can pass through."""

from __future__ import annotations

import time

from roam_lab.ir import Graph, captured_order
from roam_lab.order.bound import WORK_LIMIT, bound_of
from roam_lab.order.effort import Effort
from roam_lab.order.list_scheduling import best_pass
from roam_lab.order.outcome import Outcome
from roam_lab.order.problem import problem_of
from roam_lab.order.search.ready_sets import STATES, exact_order
from roam_lab.registry import Parameter, strategy


@strategy(
    "order",
    "exact",
    source="serenity (arXiv 2003.02369): dynamic programming over ready sets, soft budget, split at cut nodes",
    parameters=(
        Parameter("states", int, STATES, "states kept before the search gives up", low=1),
        Parameter("time_limit", float, None, "seconds (None: only `states` limits the search)", low=0),
    ),
)
def exact(graph: Graph, states: int, time_limit: float | None) -> Outcome:
    """The proven optimum of small or narrow graphs, by search over states; the list schedule where that is too much.

    Begins with the better of the captured order and the list schedule, and with the minimum cut's bound. If they
    meet, that is the proof; otherwise `exact_order` searches between them. Stopped by a limit, it returns the order
    that it began with, and says so.
    """
    deadline = None if time_limit is None else time.perf_counter() + time_limit
    problem = problem_of(graph)
    start = list(captured_order(graph))
    if time_limit is None or time_limit > 0:
        start = min(start, best_pass(problem), key=problem.peak)
    peak = problem.peak(start)
    effort = Effort(states, deadline)
    proven = bound_of(problem, start, Effort(WORK_LIMIT, deadline)).bytes
    found = exact_order(problem, peak, proven, effort)
    if found.complete:
        return Outcome(tuple(found.order or start), found.lower_bound_bytes)
    stopped = "its time limit" if effort.late else f"{states} states"
    note = (
        f"exact stopped at {stopped} and returns the list schedule, {peak} bytes, where no order needs less than "
        f"{found.lower_bound_bytes}; raise states or time_limit, or use auto"
    )
    return Outcome(tuple(start), timed_out=True, note=note)
