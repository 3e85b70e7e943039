"""The automatic order."""

from __future__ import annotations

import time
from collections.abc import Callable

from roam_lab.ir import Graph, Order, captured_order
from roam_lab.order.bfs import bfs
from roam_lab.order.bound import bound_of
from roam_lab.order.dfs import dfs
from roam_lab.order.improve import Budget, improved
from roam_lab.order.lescea import lescea
from roam_lab.order.list_scheduling import best_pass
from roam_lab.order.lpmf import lpmf
from roam_lab.order.outcome import Outcome
from roam_lab.order.problem import Problem, problem_of
from roam_lab.order.search.ready_sets import exact_order
from roam_lab.order.xla_list import xla_list
from roam_lab.registry import Parameter, strategy

ARCS, STATES = 1_000_000, 20_000
"""Effort a second: arcs of cut networks while splitting, states while searching. Counted, not clocked."""
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

    | while the peak is above its bound | what runs                                                      |
    |-----------------------------------|----------------------------------------------------------------|
    | at first                          | list scheduling; the captured order if that is as good         |
    | then                              | splits at the cheapest states of the peak, within the effort   |
    | then                              | exact search over states, from the bound upwards: an order of  |
    |                                   | least peak, or the proof that there is no better one           |
    | after all that                    | the greedy rivals: an order may be better by luck              |

    The order depends on the graph and, as a measure of effort, on the time limit, unless that runs out first.
    """
    seconds = SECONDS if time_limit is None else time_limit
    deadline = None if time_limit is None else time.perf_counter() + time_limit
    budget = Budget(int(ARCS * seconds), deadline)
    whole = problem_of(graph)
    candidates = [list(captured_order(graph)), best_pass(whole)]
    candidates.append(improved(whole, candidates[-1], budget))
    proven = _search(graph, whole, candidates, int(STATES * seconds), deadline)
    best = min(candidates, key=whole.peak)
    return Outcome(tuple(best), proven if whole.peak(best) == proven else 0)


def _search(graph: Graph, whole: Problem, candidates: list[list[int]], states: int, deadline: float | None) -> int:
    """Add candidates until the least peak is proven; the proven bound, in bytes, where search gave it, else 0."""

    def late() -> bool:
        return deadline is not None and time.perf_counter() >= deadline

    best = min(candidates, key=whole.peak)
    peak = whole.peak(best)
    left = None if deadline is None else max(deadline - time.perf_counter(), 0.0)
    bound = bound_of(whole, best, time_limit=left).bytes
    if bound >= peak or late():
        return 0
    found = exact_order(whole, peak, bound, states, deadline)
    if found.order is not None:
        candidates.append(found.order)
    if found.complete:
        return found.lower_bound_bytes
    candidates.extend(list(rival(graph)) for rival in RIVALS if not late())
    return 0
