"""The least peak of a block: whether any order stays within a peak, asked of one peak after another."""

from __future__ import annotations

from collections.abc import Sequence

from roam_lab.order.dominance.block import Block, View
from roam_lab.order.dominance.search import Effort, SpentError, descend

FIRST_STEPS = 4000
"""Steps of the first try in each direction of time; each further try may take four times as many."""


def least_run(block: Block, run: Sequence[int], effort: Effort, low_bytes: int) -> tuple[list[int], bool]:
    """A run with a peak no higher than that of `run`, and whether it is proven that none is lower.

    No peak is below `low_bytes`. Asks first for anything better than what is known, then halves the range left.
    """
    problem = block.problem()
    best, peak, low = list(run), problem.peak(run), low_bytes
    cap = peak - 1
    while low < peak:
        answer = _within(block, cap, effort)
        if answer is None:
            return best, False
        if isinstance(answer, int):
            low = answer
        else:
            best, peak = answer, problem.peak(answer)
        cap = (low + peak) // 2
    return best, True


def _within(block: Block, cap_bytes: int, effort: Effort) -> list[int] | int | None:
    """A run that never holds more than `cap_bytes`, or the least that every run holds at some step, or None if spent.

    Tried forwards and backwards in time by turns: what branches widely in one often is forced in the other.
    """
    steps = FIRST_STEPS
    end = sum(job.net_bytes for job in block.jobs) - sum(block.shared_bytes.values())
    everything = (1 << len(block)) - 1
    while effort.left:
        for view, base in ((View(block), 0), (View(block, backwards=True), end)):
            own = effort.slice(steps)
            try:
                answer = descend(view, everything, own, cap_bytes - base)
            except SpentError:
                continue
            finally:
                effort.steps -= own.spent
            if isinstance(answer, int):
                return answer + base
            return answer[::-1] if view.backwards else answer
        steps *= 4
    return None
