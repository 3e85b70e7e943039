"""Exact search over ready sets: the order of least peak, by the states that a schedule can pass through."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from roam_lab.order.problem import Problem
from roam_lab.order.search.alike import order_alike
from roam_lab.order.search.runs import Sets, bits, join_runs, neighbours, reach_masks, topological

STATES = 200_000
"""States that a search may keep unless told otherwise: about ten seconds."""

WIDE_OPS = 1024
"""Of a problem with more ops, each state weighs that many times one."""


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
    states: int


def exact_order(
    problem: Problem,
    upper_bytes: int,
    lower_bytes: int = 0,
    states: int = STATES,
    deadline: float | None = None,
) -> Searched:
    """An order of `problem` with the least peak of all, if that is below `upper_bytes`; no such order: proof of that.

    A state is the set of ops that have run (serenity's states are the ready sets, one for each). States are taken in
    ascending order of the highest that it takes to get there, at least `lower_bytes` (proven by the caller), the
    latest first among equals: serenity's soft budget, raised by itself to the next level that is needed. What shrinks
    the search: runs of ops are joined first (`join_runs`); a run that frees at least what it takes is taken at once,
    alone, if it stays within the level; and once an op is reached that every other precedes or follows, all
    states before it are forgotten, so that segments add up and do not multiply. `deadline`: of time.perf_counter.
    Raises nothing: it stops at the limits. (Sources: serenity, arXiv 2003.02369, section 3;
    dominance, arXiv 2312.13526.)
    """
    if lower_bytes >= upper_bytes or not len(problem):
        return Searched(None, upper_bytes, True, 0)
    sets = Sets(problem)
    most = states * WIDE_OPS // max(WIDE_OPS, len(problem))
    return _Search(sets, join_runs(sets)).search(upper_bytes, lower_bytes, most, deadline)


class _Search:
    """Runs as nodes, and the states that they make."""

    def __init__(self, sets: Sets, runs: Sequence[Sequence[int]]) -> None:
        problem = sets.problem
        self.problem, self.runs = problem, runs
        count = len(runs)
        run_of = {op: number for number, run in enumerate(runs) for op in run}
        preds, succs = neighbours(problem, runs)
        for first, second in list(order_alike(problem, runs, preds, succs)):
            succs[first].add(second)
            preds[second].add(first)
        order = topological(preds, succs)
        before, later = reach_masks(preds, order), reach_masks(succs, order[::-1])
        self.after = [sum(1 << other for other in direct) for direct in preds]
        self.followers = list(map(sorted, succs))
        self.goal = (1 << count) - 1
        self.gates = [before[run] | 1 << run for run in order if before[run] | later[run] | 1 << run == self.goal]
        members = [sum(1 << op for op in run) for run in runs]
        users = [sum(1 << run for run in {run_of[op] for op in group}) for group in problem.users]
        self.cost_of = [_Cost(sets, run, 1 << number, before[number], later[number], members, users)
                        for number, run in enumerate(runs)]  # fmt: skip

    def search(self, upper: int, lower: int, states: int, deadline: float | None) -> Searched:
        """Bottleneck shortest path from nothing done to all done, through states below `upper`."""
        problem, after, followers = self.problem, self.after, self.followers
        live = problem.base_bytes + sum(size for size, given in zip(problem.sizes, problem.given, strict=True) if given)
        ready = sum(1 << run for run, before in enumerate(after) if not before)
        gates = self.gates[::-1]
        best = {0: max(lower, live)}
        came: dict[int, tuple[int, int]] = {}
        heap = [(best[0], len(after), live, 0, ready)]  # (highest on the way, runs left, live bytes, done, ready)
        popped = 0
        while heap:
            level, left, live, done, ready = heappop(heap)
            if best[done] < level:
                continue
            if done == self.goal:
                return Searched(self._path(came), level, True, len(best))
            popped += 1
            if len(best) > states or (deadline is not None and popped % 32 == 0 and time.perf_counter() >= deadline):
                return Searched(None, min(level, upper), False, len(best))
            if gates and done & gates[-1] == gates[-1]:
                while gates and done & gates[-1] == gates[-1]:
                    gate = gates.pop()
                heap = [state for state in heap if state[3] & gate == gate]
                heapify(heap)
            moves = []
            for run in bits(ready):
                most, net = self.cost_of[run].at(done)
                if net <= 0 and live + most <= level:
                    # Moving it here from later in any order only lowers what is alive in between (submodularity).
                    moves = [(live + most, net, run)]
                    break
                if live + most < upper:
                    moves.append((live + most, net, run))
            for high, net, run in moves:
                next_done, next_level = done | 1 << run, max(high, level)
                if best.get(next_done, upper) > next_level:
                    best[next_done] = next_level
                    came[next_done] = (done, run)
                    next_ready = ready ^ 1 << run
                    for follower in followers[run]:
                        if after[follower] & next_done == after[follower]:
                            next_ready |= 1 << follower
                    heappush(heap, (next_level, left - 1, live + net, next_done, next_ready))
        return Searched(None, upper, True, len(best))

    def _path(self, came: Mapping[int, tuple[int, int]]) -> list[int]:
        order: list[int] = []
        done = self.goal
        while done:
            done, run = came[done]
            order += self.runs[run][::-1]
        return order[::-1]


class _Cost:
    """What one run takes, from any state: only a few storages make it differ from state to state."""

    def __init__(
        self,
        sets: Sets,
        run: Sequence[int],
        own: int,
        before: int,
        later: int,
        members: Sequence[int],
        users: Sequence[int],
    ) -> None:
        self.sets, self.run, self.members = sets, run, members
        self.known: dict[int, tuple[int, int]] = {}
        problem = sets.problem
        firsts, lasts = set(), set()
        for storage in {storage for op in run for storage in problem.uses[op]}:
            others = users[storage] & ~own
            if not (problem.given[storage] or others & before) and others & ~later:
                firsts.add(others & ~later)
            if not (problem.kept[storage] or others & later) and others & ~before:
                lasts.add(others & ~before)
        self.firsts, self.lasts = sorted(firsts), sorted(lasts)

    def at(self, done: int) -> tuple[int, int]:
        """(most, net) bytes of the run above what is alive when the runs `done` have run."""
        case = 1
        for others in self.firsts:
            case = case << 1 | (not others & done)
        for others in self.lasts:
            case = case << 1 | (others & done == others)
        found = self.known.get(case)
        if found is None:
            finished = sum(self.members[run] for run in bits(done))
            found = self.known[case] = self.sets.profile(self.run, finished)
        return found
