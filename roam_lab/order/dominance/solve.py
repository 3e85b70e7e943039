"""A problem solved through dominant schedules: folded and contracted until nothing gives, the rest searched."""

from __future__ import annotations

import time
from dataclasses import dataclass

from roam_lab.order.bound import bound_of
from roam_lab.order.dominance.block import Block, block_of
from roam_lab.order.dominance.contract import Contraction, Section
from roam_lab.order.dominance.fold import folded, with_eager
from roam_lab.order.dominance.least import least_run
from roam_lab.order.dominance.precedence import OutOfTimeError
from roam_lab.order.dominance.profile import ops_of
from roam_lab.order.dominance.search import Effort
from roam_lab.order.list_scheduling import passes
from roam_lab.order.problem import Problem

CUT_ARCS = 500_000
"""Arcs of cut networks that a bound on what is left may cost: less than a second."""


PASS_SECONDS = 2e-5
"""What a pass of list scheduling is expected to take for each op before one was measured."""
SETUP_SECONDS = 2e-5
"""What building a block takes for each op: not begun if there is less time."""


@dataclass(frozen=True)
class Contracted:
    """What is left of a problem: `block`, whose orders with the ops `eager` put back lose nothing against any other.

    `sections`: the series-parallel parts solved on the way, innermost first. `exact`: `block` is one chain, and so the
    order with the least peak.
    """

    problem: Problem
    block: Block
    eager: set[int]
    sections: list[Section]
    exact: bool

    def order(self, run: list[int]) -> list[int]:
        """The problem's ops for a run of the block's jobs."""
        return with_eager(self.problem, ops_of(self.block.jobs[job] for job in run), self.eager)


def contracted(problem: Problem, effort: Effort) -> Contracted:
    """Fold and contract by turns until nothing changes; raises OutOfTimeError at the effort's deadline."""
    if effort.seconds is not None and effort.seconds < SETUP_SECONDS * len(problem):
        raise OutOfTimeError
    block, eager = block_of(problem, effort.deadline), set()
    sections: list[Section] = []
    while True:
        block, taken = folded(block, effort.deadline)
        before = len(block)
        eager |= taken
        contraction = Contraction(block, effort)
        block = contraction.run()
        sections += contraction.sections
        if contraction.exact or len(block) == before or effort.late:
            return Contracted(problem, block, eager, sections, contraction.exact)


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
    early = Effort(effort.steps, None if seconds is None else time.perf_counter() + seconds / 2)
    try:
        left = contracted(problem, early)
    except OutOfTimeError:
        return Solution(_listed(problem, effort), False, True)
    effort.steps = early.steps
    if left.exact:
        return Solution(left.order(list(range(len(left.block)))), True, False)
    jobs = left.block.problem()
    run = _listed(jobs, effort)
    # A minimum cut often proves at once what search takes long to.
    bound = 0 if effort.late else bound_of(jobs, run, CUT_ARCS, effort.seconds).bytes
    run, exact = least_run(left.block, run, effort, bound)
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
