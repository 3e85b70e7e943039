"""The run that the tree splits: the backbone as list scheduling runs it, the rest put back by memory."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from roam_lab.order.bound import bound_of
from roam_lab.order.effort import Effort
from roam_lab.order.improve import improved
from roam_lab.order.list_scheduling import KEYS, passes
from roam_lab.order.problem import Problem
from roam_lab.order.task_tree.segments import backbone, floating, insensitive
from roam_lab.order.task_tree.updates import put_back

PASSES = 2 * len(KEYS)
SECONDS_AN_OP = 2e-5
"""Seconds that a pass of list scheduling takes for each op, at most."""

WORK = 2_000_000
"""Arcs of cut networks that the bound of the whole, and its splits, may each take: about a second."""


@dataclass(frozen=True)
class FirstOrder:
    """A legal run of all ops; `bounds`: steps at which an independent segment ends and the next begins.

    `floor_bytes`: what every order of the whole must hold.
    """

    run: list[int]
    bounds: list[int]
    floor_bytes: int
    timed_out: bool = False


def first_order(problem: Problem, updates: Collection[int], ends: float | None) -> FirstOrder:
    """The best of the captured order, list scheduling, and its backbone with the rest put back by memory.

    Ties go to the last, which is ROAM's. While its peak is above the bound, it is made to pass through the cheapest
    states of its peak. `updates`: ops known to be weight updates; `ends`: when to stop (time.perf_counter).
    """
    best = list(range(len(problem)))
    peak = problem.peak(best)
    began, tries = time.perf_counter(), passes(problem)
    for done in range(PASSES):
        # A pass cannot be stopped, so none begins that may end too late.
        each = len(problem) * SECONDS_AN_OP if not done else (time.perf_counter() - began) / done
        if ends is not None and time.perf_counter() + each > ends:
            return FirstOrder(best, [], 0, True)
        tried = next(tries)
        if problem.peak(tried) < peak:
            best, peak = tried, problem.peak(tried)
    if ends is not None and time.perf_counter() + 2 * (time.perf_counter() - began) > ends:
        return FirstOrder(best, [], 0, True)
    floor = bound_of(problem, best, Effort(WORK, ends)).bytes
    inside = backbone(problem, updates)
    floats = set(floating(problem, inside))
    core, spine = set(inside), set(inside) - floats
    hanging = [op for op in range(len(problem)) if op not in core]
    run = [op for op in best if op in spine]
    # With time reversed, branches that float hang off the backward ops: they then run as late as memory allows.
    late = put_back(problem.reversed(), run[::-1], sorted(floats, reverse=True), floor)[::-1]
    runs = [put_back(problem, late, hanging, floor), best]
    if min(map(problem.peak, runs)) > floor:
        runs = [improved(problem, tried, Effort(WORK, ends)) for tried in runs]
    best = min(runs, key=problem.peak)
    fixed = {run[step] for step in insensitive(problem, run)}
    bounds = [step for step, op in enumerate(best) if op in fixed]
    return FirstOrder(best, bounds, floor, ends is not None and time.perf_counter() >= ends)
