"""Leaves solved side by side in processes; one by one in this one where processes cannot be had."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from roam_lab.interrupt import deaf_children, held
from roam_lab.order.problem import Problem
from roam_lab.order.task_tree.leaf import Leaf, Limits, solve_leaf

GRACE_SECONDS = 0.5
"""How long after the deadline a worker may still answer."""

IDLE_SECONDS = 3
"""How long idle workers wait for the next plan before they end."""


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def solve_leaves(problems: Sequence[Problem], floor_bytes: int, limits: Limits, workers: int) -> list[Leaf]:
    """Each problem's leaf, from the order in which its ops stand; what is not solved by the deadline keeps that.

    Nothing can be gained, so nothing is solved, where a leaf has one op or its peak is no higher than `floor_bytes`,
    which the whole step must hold anyway. Most plans need no process.
    """
    leaves: list[Leaf | None] = [
        Leaf(tuple(range(len(problem))), "optimal", "bound")
        if len(problem) < 2 or (not limits.every and problem.peak(range(len(problem))) <= floor_bytes)
        else None
        for problem in problems
    ]
    open_ = [number for number, leaf in enumerate(leaves) if leaf is None]
    found: list[Leaf] | None = None
    if min(workers, len(open_)) > 1:
        # No loky, no processes, or one of them was killed: this process does it.
        with suppress(ImportError, OSError, RuntimeError):
            found = _in_processes([problems[number] for number in open_], floor_bytes, limits, workers)
    if found is None:
        found = [_or_as_it_stands(problems[number], floor_bytes, limits) for number in open_]
    for number, leaf in zip(open_, found, strict=True):
        leaves[number] = leaf
    return [leaf for leaf in leaves if leaf is not None]


def _or_as_it_stands(problem: Problem, floor_bytes: int, limits: Limits) -> Leaf:
    if limits.deadline is not None and time.time() >= limits.deadline:
        return Leaf(tuple(range(len(problem))), "timed out", "")
    return solve_leaf(problem, floor_bytes, limits)


def _in_processes(problems: Sequence[Problem], floor_bytes: int, limits: Limits, workers: int) -> list[Leaf]:
    from concurrent.futures import TimeoutError as LateError

    from loky import get_reusable_executor

    executor: Any = None
    leaves: list[Leaf] = []
    complete = False
    try:
        with deaf_children(tracked=True):
            executor = get_reusable_executor(max_workers=min(workers, len(problems)), timeout=IDLE_SECONDS)
            futures = [executor.submit(_or_as_it_stands, problem, floor_bytes, limits) for problem in problems]
        for problem, future in zip(problems, futures, strict=True):
            wait = None if limits.deadline is None else max(0.0, limits.deadline + GRACE_SECONDS - time.time())
            try:
                leaves.append(future.result(wait))
            except (LateError, TimeoutError):
                leaves.append(Leaf(tuple(range(len(problem))), "timed out", ""))
        complete = all(future.done() for future in futures)
    finally:
        if executor is not None and not complete:  # late, or interrupted: no worker goes on
            with held():
                executor.shutdown(wait=True, kill_workers=True)
    return leaves
