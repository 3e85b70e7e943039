"""An index over time of the storages placed so far, which finds fast what lives with a new one among 100,000."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from roam_lab.ir import Lifetime

Array = NDArray[np.int64]

_PER_BLOCK = 1000
_WIDE = 2
"""A lifetime that meets more time blocks than this is wide."""


class _Shelf:
    """Placed storages as rows (start, end, low, high), sorted by low, in an array that doubles when it is full."""

    def __init__(self) -> None:
        self.count = 0
        self.rows = np.empty((4, 16), np.int64)

    def insert(self, start: int, end: int, low: int, high: int) -> None:
        if self.count == self.rows.shape[1]:
            self.rows = np.concatenate([self.rows, np.empty_like(self.rows)], axis=1)
        at = int(np.searchsorted(self.rows[2, : self.count], low))
        self.rows[:, at + 1 : self.count + 1] = self.rows[:, at : self.count]
        self.rows[:, at] = start, end, low, high
        self.count += 1

    def during(self, start: int, end: int) -> tuple[Array, Array]:
        """Lows and highs, by low, of the rows that live at some moment of [start, end)."""
        starts, ends, lows, highs = self.rows[:, : self.count]
        together = np.flatnonzero((starts < end) & (ends > start))
        return lows[together], highs[together]


class _Cover:
    """Address ranges taken during a whole block of time: disjoint, sorted, neighbours joined."""

    def __init__(self) -> None:
        self.lows: list[int] = []
        self.highs: list[int] = []

    def insert(self, low: int, high: int) -> None:
        first = bisect_left(self.highs, low)
        last = bisect_right(self.lows, high)
        if first < last:
            low, high = min(low, self.lows[first]), max(high, self.highs[last - 1])
        self.lows[first:last] = [low]
        self.highs[first:last] = [high]


class Shelves:
    """Placed storages by time. Time is cut into intervals ("blocks"); a small instance has only one.

    A lifetime is *wide* if it meets more than _WIDE blocks, else narrow. A narrow storage is entered in the shelf of
    each block that it meets. A wide one is entered in a shelf of all wide ones, which is searched for new wide ones;
    for new narrow ones it is merged into the cover of each block that it spans, and entered in the shelf of a block in
    which it begins or ends. So the search for a new narrow storage, the usual case in a training step, looks at its
    neighbours in time and at a few merged address ranges, not at thousands of saved activations.
    """

    def __init__(self, lifetimes: Iterable[Lifetime]) -> None:
        ends = [life.end for life in lifetimes]
        self.blocks = 1 + len(ends) // _PER_BLOCK
        self.width = max(1, -(-max(ends, default=1) // self.blocks))
        self.near = [_Shelf() for _ in range(self.blocks)]  # narrow ones, and wide ones that begin or end here
        self.narrow = [_Shelf() for _ in range(self.blocks)]  # narrow ones only, for wide newcomers
        self.cover = [_Cover() for _ in range(self.blocks)]
        self.wide = _Shelf()

    def _span(self, life: Lifetime) -> range:
        return range(life.start // self.width, (life.end - 1) // self.width + 1)

    def insert(self, life: Lifetime, low: int) -> None:
        """Note that `life` lies at `low`."""
        span, high = self._span(life), low + life.bytes
        wide = len(span) > _WIDE
        if wide:
            self.wide.insert(life.start, life.end, low, high)
        for block in span:
            whole = life.start <= block * self.width and life.end >= (block + 1) * self.width
            if wide and whole:
                self.cover[block].insert(low, high)
                continue
            self.near[block].insert(life.start, life.end, low, high)
            if not wide and self.blocks > 1:
                self.narrow[block].insert(life.start, life.end, low, high)

    def taken(self, life: Lifetime) -> tuple[Array, Array]:
        """Lows and highs, by low, of everything that lives while `life` does (they may overlap, and repeat)."""
        span = self._span(life)
        if len(span) > _WIDE:
            parts = [self.wide.during(life.start, life.end)]
            parts += [self.narrow[block].during(life.start, life.end) for block in span if self.narrow[block].count]
        else:
            parts = [self.near[block].during(life.start, life.end) for block in span]
            covers = [self.cover[block] for block in span if self.cover[block].lows]
            parts += [(np.array(cover.lows, np.int64), np.array(cover.highs, np.int64)) for cover in covers]
        if len(parts) == 1:
            return parts[0]
        lows = np.concatenate([low for low, _ in parts])
        by_low = np.argsort(lows, kind="stable")
        return lows[by_low], np.concatenate([high for _, high in parts])[by_low]
