"""The least peak of a job problem: whether any order stays within a peak, asked of one peak after another."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from roam_lab.order.dominance.search import descend
from roam_lab.order.effort import Effort, SpentError
from roam_lab.order.reduce.jobs import JobProblem
from roam_lab.order.reduce.states import States

FIRST_STEPS = 4000
"""Steps of the first try in each direction of time; each further try may take four times as many."""


def least_run(jobs: JobProblem, run: Sequence[int], effort: Effort, low_bytes: int) -> tuple[list[int], bool]:
    """A run with a peak no higher than that of `run`, and whether it is proven that none is lower.

    No peak is below `low_bytes`. Asks first for anything better than what is known, then halves the range left.
    """
    problem = jobs.as_problem
    best, peak, low = list(run), problem.peak(run), low_bytes
    cap = peak - 1
    while low < peak:
        answer = _within(jobs, cap, effort)
        if answer is None:
            return best, False
        if isinstance(answer, int):
            low = answer
        else:
            best, peak = answer, problem.peak(answer)
        cap = (low + peak) // 2
    return best, True


def _within(jobs: JobProblem, cap_bytes: int, effort: Effort) -> list[int] | int | None:
    """A run that never holds more than `cap_bytes`, or the least that every run holds at some step, or None if spent.

    Tried forwards and backwards in time by turns: what branches widely in one often is forced in the other.
    """
    steps = FIRST_STEPS
    begin = jobs.base_bytes
    end = begin + sum(job.net_bytes for job in jobs) - sum(jobs.shared_bytes.values())
    everything = (1 << len(jobs)) - 1
    while effort.left:
        for states, base in ((States(jobs), begin), (States(jobs, backwards=True), end)):
            with suppress(SpentError), effort.part(steps) as own:
                answer = descend(states, everything, own, cap_bytes - base)
                if isinstance(answer, int):
                    return answer + base
                return answer[::-1] if states.backwards else answer
        steps *= 4
    return None
