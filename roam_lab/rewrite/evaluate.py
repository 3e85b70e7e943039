"""What a state costs, exactly: its peak and its modelled time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roam_lab.rewrite.curve import accounted
from roam_lab.rewrite.just_in_time import expanded
from roam_lab.rewrite.tape import SCRATCH_BYTES, Problem
from roam_lab.rewrite.trace import Trace

IMPOSSIBLE = 2**62


@dataclass(frozen=True, slots=True)
class Cost:
    """What a state costs. `peak`: its live peak in bytes; `us`: its modelled time; `hottest`: the item of the trace at
    which the peak is first reached. `over`: bytes above a target, summed over all items; `highest`: the most bytes
    above the target at any item."""

    peak: int
    us: float
    hottest: int
    over: float = 0.0
    highest: float = 0.0

    @property
    def possible(self) -> bool:
        """Whether the state can be run at all."""
        return self.peak < IMPOSSIBLE

    @property
    def excess(self) -> float:
        """How far the state is from the target, as one number to be minimized; 0 once the target is met."""
        return self.over + 3 * self.highest


def evaluate(problem: Problem, state: NDArray[np.int8], trace: Trace, target: int = 0) -> Cost:
    """Run `state` on paper and fill `trace` with the run. `target`: the bytes from which `over` and `highest` count."""
    us = expanded(problem.tape, state, trace, problem.share, SCRATCH_BYTES)
    if us < 0:
        return Cost(IMPOSSIBLE, float("inf"), 0, float("inf"), float("inf"))
    hottest, over = accounted(problem.tape, trace, target)
    peak = int(trace.curve[hottest])
    return Cost(peak, us, int(hottest), over, float(max(0, peak - target)))
