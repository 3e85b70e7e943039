"""Exact search over ready sets: the order of least peak, by the states that a schedule can pass through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush

from roam_lab.order.effort import Effort, SpentError
from roam_lab.order.problem import Problem
from roam_lab.order.reduce.jobs import JobProblem
from roam_lab.order.reduce.precedence import bits, reach_masks, topological
from roam_lab.order.reduce.reduced import reduced
from roam_lab.order.reduce.states import States
from roam_lab.order.search.alike import order_alike

STATES = 200_000
"""Default effort, in states kept: about ten seconds."""

WIDE_JOBS = 1024
"""Among more jobs, each state counts as jobs / WIDE_JOBS states: it takes that much longer."""


@dataclass(frozen=True, slots=True)
class Searched:
    """What an exact search found.

    `order`: an order of least peak, if one below the upper bound was found. `lower_bound_bytes`: no order has a lower
    peak, proven, even when the search stopped at a limit. `complete`: it was not stopped by one: either `order` is
    optimal, or no order stays below the upper bound. `states`: how many were kept.
    """

    order: list[int] | None
    lower_bound_bytes: int
    complete: bool
    states: int = 0


def exact_order(problem: Problem, upper_bytes: int, lower_bytes: int, effort: Effort) -> Searched:
    """An order of `problem` with the least peak of all, if that is below `upper_bytes`, or the proof that none is.

    The problem is reduced first. A state is the set of jobs that have run (serenity's states are the ready sets, one
    for each). States are taken in ascending order of the least peak on a way to them, which is at least `lower_bytes`
    (proven by the caller); among equals the one found last is first. (Serenity raises a soft budget instead.) Two rules
    shrink the search: a job that frees at least what it allocates is run at once, alone, if it stays within that peak;
    and once a job runs that every other precedes or follows, all states before it are forgotten, so that segments are
    searched one after the other. The work of `effort` is the states kept. Raises nothing: it
    stops when the effort is spent. (Sources: serenity, arXiv 2003.02369, section 3; dominance, arXiv 2312.13526.)
    """
    if lower_bytes >= upper_bytes or not len(problem):
        return Searched(None, upper_bytes, True)
    try:
        left = reduced(problem, effort)
    except SpentError:
        return Searched(None, lower_bytes, False)
    found = _Search(left.jobs).search(upper_bytes, lower_bytes, effort)
    return found if found.order is None else replace(found, order=left.order(found.order))


class _Search:
    """The jobs with chains alike in sequence, and the states that they make."""

    def __init__(self, jobs: JobProblem) -> None:
        self.jobs, self.states = jobs, States(jobs)
        preds, succs = list(map(set, jobs.before)), list(map(set, jobs.as_problem.followers))
        for first, second in order_alike(jobs.as_problem):
            succs[first].add(second)
            preds[second].add(first)
        order = topological(preds, succs)
        before, later = reach_masks(preds, order), reach_masks(succs, order[::-1])
        self.after = [sum(1 << other for other in direct) for direct in preds]
        self.followers = list(map(sorted, succs))
        self.goal = (1 << len(jobs)) - 1
        self.gates = [before[job] | 1 << job for job in order if before[job] | later[job] | 1 << job == self.goal]

    def search(self, upper: int, lower: int, effort: Effort) -> Searched:
        """Bottleneck shortest path from nothing done to all done, through states below `upper`."""
        after, followers, effect = self.after, self.followers, self.states.effect
        weight = max(1, len(self.jobs) / WIDE_JOBS)
        live = self.jobs.base_bytes
        ready = sum(1 << job for job, before in enumerate(after) if not before)
        gates = self.gates[::-1]
        best = {0: max(lower, live)}
        came: dict[int, tuple[int, int]] = {}
        heap = [(best[0], len(after), live, 0, ready)]  # (highest on the way, jobs left, live bytes, done, ready)
        popped = 0
        while heap:
            level, left, live, done, ready = heappop(heap)
            if best[done] < level:
                continue
            if done == self.goal:
                return Searched(self._path(came), level, True, len(best))
            popped += 1
            if len(best) * weight > effort.work or (popped % 32 == 0 and effort.late):
                return Searched(None, min(level, upper), False, len(best))
            if gates and done & gates[-1] == gates[-1]:
                while gates and done & gates[-1] == gates[-1]:
                    gate = gates.pop()
                heap = [state for state in heap if state[3] & gate == gate]
                heapify(heap)
            moves = []
            for job in bits(ready):
                hill, net = effect(done, job)
                if net <= 0 and live + hill <= level:
                    # Moving it here from later in any order only lowers what is alive in between (submodularity).
                    moves = [(live + hill, net, job)]
                    break
                if live + hill < upper:
                    moves.append((live + hill, net, job))
            for high, net, job in moves:
                next_done, next_level = done | 1 << job, max(high, level)
                if best.get(next_done, upper) > next_level:
                    best[next_done] = next_level
                    came[next_done] = (done, job)
                    next_ready = ready ^ 1 << job
                    for follower in followers[job]:
                        if after[follower] & next_done == after[follower]:
                            next_ready |= 1 << follower
                    heappush(heap, (next_level, left - 1, live + net, next_done, next_ready))
        return Searched(None, upper, True, len(best))

    def _path(self, came: Mapping[int, tuple[int, int]]) -> list[int]:
        run: list[int] = []
        done = self.goal
        while done:
            done, job = came[done]
            run.append(job)
        return run[::-1]
