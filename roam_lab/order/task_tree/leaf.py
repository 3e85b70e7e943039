"""A leaf solved: cheap certificates first, then splits at minimum cuts, then the integer program."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

from roam_lab.order.bound import bound_of
from roam_lab.order.effort import Effort
from roam_lab.order.improve import improved
from roam_lab.order.list_scheduling import passes
from roam_lab.order.problem import Problem
from roam_lab.order.task_tree.leaf_ilp import solve_leaf_ilp, windows
from roam_lab.order.tasks import Solution

CUT_WORK = 300_000
"""Arcs of cut networks that a leaf's bound, and its splits, may each take: a few tenths of a second."""

LARGEST_PROGRAM = 12_000
"""Variables: above, an integer program takes longer to build and to begin than a leaf is worth."""


@dataclass(frozen=True)
class Limits:
    """What one leaf may take: nodes of the solver's search tree; `seconds` is the backstop.

    `deadline`: when the whole strategy stops (time.time, as worker processes share it). `every`: solve each leaf by
    the integer program, also where a certificate says that nothing can be gained.
    """

    solver: str = "highs"
    nodes: int = 200
    seconds: float = 10.0
    deadline: float | None = None
    every: bool = False

    def left(self) -> float:
        """Seconds until this leaf, begun now, must stop."""
        return self.seconds if self.deadline is None else min(self.seconds, self.deadline - time.time())


@dataclass(frozen=True)
class Leaf:
    """A leaf's order (of its problem's ops), how good it is and who says so.

    `bound_bytes`: no order of the leaf has a lower peak.
    """

    order: tuple[int, ...]
    status: Solution
    solver: Literal["bound", "cuts", "ilp", ""]
    bound_bytes: int = 0
    seconds: float = field(default=0.0, compare=False)


def solve_leaf(problem: Problem, floor_bytes: int, limits: Limits) -> Leaf:
    """The leaf's best order found, from the one in which its ops stand; below `floor_bytes` there is nothing to gain.

    "optimal": no order of the leaf has a lower peak, or the whole step must hold its peak anyway.
    """
    began = time.perf_counter()
    leaf = _solve(problem, floor_bytes, limits)
    return Leaf(leaf.order, leaf.status, leaf.solver, leaf.bound_bytes, time.perf_counter() - began)


def _solve(problem: Problem, floor_bytes: int, limits: Limits) -> Leaf:
    order = list(range(len(problem)))
    peak = problem.peak(order)
    ends = time.perf_counter() + limits.left()
    bound = 0
    if not limits.every:
        for tried in passes(problem):
            if problem.peak(tried) < peak:
                order, peak = tried, problem.peak(tried)
            if peak <= floor_bytes:
                return Leaf(tuple(order), "optimal", "bound")
            if time.perf_counter() >= ends:
                return Leaf(tuple(order), "timed out", "")
        bound = bound_of(problem, order, Effort(CUT_WORK, ends)).bytes
        if peak > bound:
            order = improved(problem, order, Effort(CUT_WORK, ends))
            peak = problem.peak(order)
            bound = max(bound, bound_of(problem, order, Effort(CUT_WORK, ends)).bytes)
        if peak <= max(bound, floor_bytes):
            return Leaf(tuple(order), "optimal", "bound", bound if peak <= bound else 0)
    if time.perf_counter() >= ends:
        return Leaf(tuple(order), "timed out", "cuts", bound)
    if sum(last - first for first, last in windows(problem)) > LARGEST_PROGRAM:
        return Leaf(tuple(order), "feasible", "cuts", bound)
    floor = max(bound, 0 if limits.every else floor_bytes)
    solved, found = solve_leaf_ilp(problem, order, floor, limits.solver, ends - time.perf_counter(), limits.nodes)
    if found is not None and problem.peak(found) < peak:
        order, peak = found, problem.peak(found)
    if solved.answer == "optimal":
        return Leaf(tuple(order), "optimal", "ilp", peak if floor <= bound else 0)
    return Leaf(tuple(order), "timed out", "ilp", bound)
