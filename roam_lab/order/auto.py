"""The automatic order."""

from __future__ import annotations

import time
from collections.abc import Callable

from roam_lab.ir import Graph, Order, captured_order
from roam_lab.order.bfs import bfs
from roam_lab.order.bound import WORK_LIMIT, bound_of
from roam_lab.order.dfs import dfs
from roam_lab.order.dominance.solve import solved
from roam_lab.order.effort import Effort
from roam_lab.order.improve import improved
from roam_lab.order.lescea import lescea
from roam_lab.order.list_scheduling import best_pass
from roam_lab.order.lpmf import lpmf
from roam_lab.order.outcome import Outcome
from roam_lab.order.problem import Problem, problem_of
from roam_lab.order.reduce.reduced import Reduced, reduced
from roam_lab.order.search.ready_sets import exact_order
from roam_lab.order.xla_list import xla_list
from roam_lab.registry import Parameter, strategy

ARCS, STATES, STEPS = 1_000_000, 20_000, 400_000
"""Effort for each second of the time limit: arcs of cut networks while splitting, states and steps while searching.
It is counted, so that the same limit gives the same order on every machine."""
SECONDS = 2.0
"""How much effort is spent without a time limit."""
RIVALS: tuple[Callable[[Graph], Order], ...] = (lescea, lpmf, xla_list, dfs, bfs)


@strategy(
    "order",
    "auto",
    source="list scheduling, splits at minimum cuts (ROAM, section 4), search over states (serenity)",
    parameters=(
        Parameter("time_limit", float, None, "seconds, spent only while not optimal (None: effort of about 2)", low=0),
    ),
)
def auto(graph: Graph, time_limit: float | None = None) -> Outcome:
    """The best order known, most often proven optimal, within about two seconds: what to use.

    | while the peak is above its bound | what runs, on the reduced problem                              |
    |-----------------------------------|----------------------------------------------------------------|
    | at first                          | list scheduling; the captured order if that is as good         |
    | then                              | splits at the cheapest states of the peak, within the effort   |
    | then                              | exact search over states, from the bound upwards: an order of  |
    |                                   | least peak, or the proof that there is no better one           |
    | then                              | dominant schedules, likewise                                   |
    | at last                           | the other greedy strategies: one may find a better order       |

    The same graph and time limit give the same order, unless the time is over before the effort that it stands for.
    """
    seconds = SECONDS if time_limit is None else time_limit
    deadline = None if time_limit is None else time.perf_counter() + time_limit
    whole = problem_of(graph)
    left = reduced(whole, Effort(0))
    run = improved(left.problem, best_pass(left.problem), Effort(int(ARCS * seconds), deadline))
    bound = bound_of(left.problem, run, Effort(WORK_LIMIT, deadline)).bytes
    captured = captured_order(graph)
    if whole.peak(captured) <= bound:
        return Outcome(captured, bound)
    best = _best(whole, list(captured), left.order(run))
    if whole.peak(best) > bound:
        found, bound = _searched(left, whole.peak(best), bound, seconds, deadline)
        best = _best(whole, best, *found)
        if not bound:
            effort = Effort(0, deadline)
            best = _best(whole, best, *(list(rival(graph)) for rival in RIVALS if not effort.late))
    return Outcome(tuple(best), bound if whole.peak(best) == bound else 0)


def _best(problem: Problem, *orders: list[int]) -> list[int]:
    """The order with the least peak, the first of equal ones."""
    return min(orders, key=problem.peak)


def _searched(
    left: Reduced, peak: int, bound: int, seconds: float, deadline: float | None
) -> tuple[list[list[int]], int]:
    """Orders found between `bound` and `peak`, in bytes, and the least peak if that is proven, else 0."""
    effort = Effort(int(STATES * seconds), deadline)
    if effort.late:
        return [], 0
    found = exact_order(left.problem, peak, bound, effort)
    if found.complete:
        return [left.order(found.order)] if found.order else [], found.lower_bound_bytes
    schedule = solved(left.problem, Effort(int(STEPS * seconds), deadline))
    order = left.order(schedule.order)
    return [order], left.whole.peak(order) if schedule.exact else 0
