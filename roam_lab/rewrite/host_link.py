"""The link to the host: one copy at a time, each in a stretch of time that no other takes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right


class HostLink:
    """The link's schedule: disjoint intervals of time, in us, in which something is copied."""

    def __init__(self) -> None:
        self._starts: list[float] = []
        self._ends: list[float] = []

    def earliest(self, ready: float, lasts: float) -> float:
        """The earliest time, not before `ready`, at which the link is free for `lasts` us."""
        at = bisect_right(self._ends, ready)
        begin = ready
        while at < len(self._starts) and self._starts[at] < begin + lasts:
            begin = max(begin, self._ends[at])
            at += 1
        return begin

    def latest(self, due: float, lasts: float) -> float:
        """The latest time from which the link is free for `lasts` us that end by `due`; it may be below 0."""
        at = bisect_left(self._starts, due) - 1
        end = due
        while at >= 0 and self._ends[at] > end - lasts:
            end = min(end, self._starts[at])
            at -= 1
        return end - lasts

    def take(self, begin: float, end: float) -> None:
        """Reserve the interval [begin, end), which must be free."""
        low, high = bisect_left(self._ends, begin), bisect_right(self._starts, end)
        if low < high:
            begin, end = min(begin, self._starts[low]), max(end, self._ends[high - 1])
        self._starts[low:high], self._ends[low:high] = [begin], [end]
