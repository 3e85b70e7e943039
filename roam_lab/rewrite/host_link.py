"""The link to the host: one copy at a time, each in a stretch of time that no other takes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right


class HostLink:
    """Stretches of time, in us, in which something is copied; those that touch are one."""

    def __init__(self) -> None:
        self._starts: list[float] = []
        self._ends: list[float] = []

    def earliest(self, ready: float, lasts: float) -> float:
        """When a copy can begin that may not begin before `ready`."""
        at = bisect_right(self._ends, ready)
        begin = ready
        while at < len(self._starts) and self._starts[at] < begin + lasts:
            begin = max(begin, self._ends[at])
            at += 1
        return begin

    def latest(self, due: float, lasts: float) -> float:
        """When a copy can begin at the latest that must have ended at `due`; it may be before time 0."""
        at = bisect_left(self._starts, due) - 1
        end = due
        while at >= 0 and self._ends[at] > end - lasts:
            end = min(end, self._starts[at])
            at -= 1
        return end - lasts

    def take(self, begin: float, end: float) -> None:
        """This stretch, which is free, is taken."""
        low, high = bisect_left(self._ends, begin), bisect_right(self._starts, end)
        if low < high:
            begin, end = min(begin, self._starts[low]), max(end, self._ends[high - 1])
        self._starts[low:high], self._ends[low:high] = [begin], [end]
