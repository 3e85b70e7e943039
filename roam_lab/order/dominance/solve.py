"""A problem solved through dominant schedules: joined and contracted as far as it goes, the rest searched."""

from __future__ import annotations

import time
from dataclasses import dataclass

from roam_lab.order.bound import bound_of
from roam_lab.order.dominance.contract import Contraction, SolvedPart
from roam_lab.order.dominance.least import least_run
from roam_lab.order.effort import Effort, SpentError
from roam_lab.order.list_scheduling import passes
from roam_lab.order.problem import Problem
from roam_lab.order.reduce.reduced import Reduced, reduced

CUT_ARCS = 500_000
"""Arcs of cut networks that a bound on what is left may cost: less than a second."""
PASS_SECONDS = 2e-5
"""Seconds for each op that a pass of list scheduling is expected to take, until one was measured."""
SETUP_SECONDS = 2e-5
"""Seconds for each op that reducing a problem takes: it is not begun where less time is left."""


@dataclass(frozen=True)
class Contracted:
    """What is left of a problem after joining and contracting: `left`, the reduced problem, has the same least peak.

    `parts`: the series-parallel parts that were solved, innermost first. `exact`: one chain of jobs is left, and it is
    the order with the least peak.
    """

    left: Reduced
    parts: list[SolvedPart]
    exact: bool


def contracted(problem: Problem, effort: Effort) -> Contracted:
    """Join and contract by turns until nothing changes; raises SpentError at the effort's deadline."""
    if effort.seconds is not None and effort.seconds < SETUP_SECONDS * len(problem):
        raise SpentError
    left = reduced(problem, effort)
    parts: list[SolvedPart] = []
    while True:
        count = len(left.jobs)
        contraction = Contraction(left.jobs, effort)
        left = left.again(contraction.run(), effort)
        parts += contraction.solved_parts
        if contraction.exact or len(left.jobs) == count or effort.late:
            return Contracted(left, parts, contraction.exact)


@dataclass(frozen=True, slots=True)
class Solution:
    """An order, whether its peak is proven the least of all, and whether the time was too short."""

    order: list[int]
    exact: bool
    timed_out: bool


def solved(problem: Problem, effort: Effort) -> Solution:
    """An order of `problem` (its ops in a legal order) with as low a peak as was found.

    What contraction leaves is list scheduled, hill by hill, and then searched as long as the effort lasts. Contraction
    may take half of the time; if that is too short, the ops are list scheduled as they are.
    """
    seconds = effort.seconds
    early = Effort(effort.work, None if seconds is None else time.perf_counter() + seconds / 2)
    try:
        found = contracted(problem, early)
    except SpentError:
        return Solution(_listed(problem, effort), False, True)
    effort.work = early.work
    left = found.left
    if found.exact:
        return Solution(left.order(range(len(left.jobs))), True, False)
    run = _listed(left.problem, effort)
    # A minimum cut often proves at once what a search needs long for.
    bound = 0 if effort.late else bound_of(left.problem, run, Effort(CUT_ARCS, effort.deadline)).bytes
    run, exact = least_run(left.jobs, run, effort, bound)
    return Solution(left.order(run), exact, effort.late and not exact)


def _listed(problem: Problem, effort: Effort) -> list[int]:
    """The best pass of list scheduling, or the ops as they stand; no pass begins that would end much too late."""
    best = list(range(len(problem)))
    peak = problem.peak(best)
    expected = PASS_SECONDS * len(problem)
    found = passes(problem)
    while effort.seconds is None or effort.seconds > expected:
        began = time.perf_counter()
        run = next(found, None)
        if run is None:
            break
        if (least := problem.peak(run)) < peak:
            best, peak = run, least
        expected = time.perf_counter() - began
    return best
