"""A problem solved through dominant schedules: folded and contracted until nothing gives, the rest searched."""

from __future__ import annotations

from dataclasses import dataclass

from roam_lab.order.bound import bound_of
from roam_lab.order.dominance.block import Block, block_of
from roam_lab.order.dominance.contract import Contraction, Section
from roam_lab.order.dominance.fold import folded, with_eager
from roam_lab.order.dominance.least import least_run
from roam_lab.order.dominance.profile import ops_of
from roam_lab.order.dominance.search import Effort
from roam_lab.order.list_scheduling import passes
from roam_lab.order.problem import Problem

CUT_ARCS = 500_000
"""Arcs of cut networks that a bound on what is left may cost: less than a second."""


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
    block, eager = block_of(problem, effort.deadline), set()
    sections: list[Section] = []
    while True:
        before = len(block)
        block, taken = folded(block, effort.deadline)
        eager |= taken
        contraction = Contraction(block, effort)
        block = contraction.run()
        sections += contraction.sections
        if contraction.exact or len(block) == before or effort.late:
            return Contracted(problem, block, eager, sections, contraction.exact)


def solved(problem: Problem, effort: Effort) -> tuple[list[int], bool]:
    """An order with as low a peak as was found, and whether it is proven the least; raises OutOfTimeError.

    What contraction leaves is list scheduled, hill by hill, and then searched as long as the effort lasts.
    """
    left = contracted(problem, effort)
    run, exact = list(range(len(left.block))), left.exact
    if not exact:
        jobs = left.block.problem()
        peak = jobs.peak(run)
        for other in passes(jobs):
            if (least := jobs.peak(other)) < peak:
                run, peak = other, least
            if effort.late:
                break
        # A minimum cut often proves at once what search takes long to.
        bound = bound_of(jobs, run, CUT_ARCS, effort.seconds).bytes
        run, exact = (run, True) if bound >= peak else least_run(left.block, run, effort, bound)
    return left.order(run), exact
