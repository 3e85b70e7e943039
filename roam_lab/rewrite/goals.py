"""The searches, run for each of the goals."""

from __future__ import annotations

from roam_lab.rewrite.aim import aim_bytes, aim_time
from roam_lab.rewrite.explorer import Explorer
from roam_lab.rewrite.points import Bound, Goals
from roam_lab.rewrite.search import search
from roam_lab.rewrite.sweep import polish

CLOSE = 1.004
"""A goal whose best peak is at most this many times its lower bound is not searched further."""


def time_of(explorer: Explorer, extra_time: float) -> float:
    """The whole time of a step with `extra_time`, in us, and a little more: sums of the same times in another sequence
    differ in their last digits."""
    return explorer.problem.base_us * (1 + extra_time + 1e-9)


def aim_at(explorer: Explorer, goals: Goals) -> tuple[Bound, ...]:
    """Look for save sets for every goal; states go to the explorer's front. Returns the lower bounds that they
    prove."""
    start = explorer.problem.start
    bounds = [Bound(extra, aim_time(explorer, time_of(explorer, extra), start)) for extra in goals.extra_times]
    for budget in goals.budgets:
        if explorer.see(start).peak > budget:
            aim_bytes(explorer, budget, start)
    return tuple(bound for bound in bounds if bound.peak_bytes)


def open_goals(explorer: Explorer, goals: Goals, bounds: tuple[Bound, ...]) -> list[float]:
    """Times in us of those goals of extra time whose peak is not close to its bound, the fastest first."""
    proven = {bound.extra_time: bound.peak_bytes for bound in bounds}
    times: list[float] = []
    for extra in goals.extra_times:
        at = explorer.front.at_most(time_of(explorer, extra))
        if at is not None and explorer.front.peaks[at] > CLOSE * proven.get(extra, 0):
            times.append(time_of(explorer, extra))
    return sorted(times)


def search_at(explorer: Explorer, goals: Goals, bounds: tuple[Bound, ...], effort: int, seed: int) -> None:
    """Local search around every goal that is open, and around every budget."""
    for us in open_goals(explorer, goals, bounds):
        search(explorer, effort, us=us, seed=seed)
    for budget in goals.budgets:
        if explorer.front.within(budget) is None:  # look for it where the peak is least
            search(explorer, effort, us=explorer.front.us[-1], seed=seed)
        if explorer.front.within(budget) != 0:  # what is free is the fastest
            search(explorer, effort, budget=budget, seed=seed)


def polish_at(explorer: Explorer, goals: Goals) -> None:
    """Polish, for every goal, the best state and the next two on the front: polishing takes time off a state, which may
    bring one that was too slow within the goal."""
    front = explorer.front
    places = [front.at_most(time_of(explorer, extra)) for extra in goals.extra_times]
    places += [front.within(budget) for budget in goals.budgets]
    chosen = {at + more for at in places if at is not None for more in (0, 1, 2) if at + more < len(front.us)}
    for state, peak in [(front.states[at], front.peaks[at]) for at in sorted(chosen)]:
        polish(explorer, state, peak)
