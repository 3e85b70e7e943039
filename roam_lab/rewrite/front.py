"""The states found so far that no other beats in both peak and time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True)
class Front:
    """States by ascending time, and so by descending peak; none is dominated. Times in us, peaks in bytes."""

    us: list[float] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)
    states: list[NDArray[np.int8]] = field(default_factory=list)

    def add(self, us: float, peak: int, state: NDArray[np.int8]) -> bool:
        """Keep a copy of `state`, and drop those that it dominates, unless a known state that is no slower has no
        higher peak. Returns whether it was kept."""
        at = bisect_right(self.us, us)
        if at and self.peaks[at - 1] <= peak:
            return False
        low = bisect_left(self.us, us)
        high = low
        while high < len(self.us) and self.peaks[high] >= peak:
            high += 1
        self.us[low:high] = [us]
        self.peaks[low:high] = [peak]
        self.states[low:high] = [state.copy()]
        return True

    def at_most(self, us: float) -> int | None:
        """The index of the state of least peak that takes at most `us`; None where all take more."""
        at = bisect_right(self.us, us)
        return at - 1 if at else None

    def within(self, peak: int) -> int | None:
        """The index of the fastest state whose peak is at most `peak`; None where all are higher."""
        at = bisect_left(self.peaks, -peak, key=lambda entry: -entry)
        return at if at < len(self.peaks) else None
