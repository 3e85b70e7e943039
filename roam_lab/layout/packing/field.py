"""Lifetimes as arrays, in which compiled loops find fast which storages live at one time, also among 100,000."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roam_lab.ir import Layout, Lifetime
from roam_lab.solvers.compiled import compiled

Array = NDArray[np.int64]

UNPLACED = -1
_AT_ONCE = 64
"""Storages placed between two checks of the clock."""
_STRIDE = 32
_MOST_CROSSING = 4_000_000


@dataclass(frozen=True, slots=True)
class Field:
    """Storages numbered by start, with an index of which live together.

    Every `stride`-th storage is a checkpoint. `crossing[first[c] : first[c + 1]]` are the storages that begin before
    storage `stride * c` and are still alive when it begins. `last[i]` is the first storage that begins when i has
    ended. So the storages that live with i are all among the crossing ones of the last checkpoint before i, and the
    storages from that checkpoint up to `last[i]`.
    """

    storages: Array
    starts: Array
    ends: Array
    sizes: Array
    last: Array
    stride: int
    first: Array
    crossing: Array

    @classmethod
    def of(cls, lifetimes: Sequence[Lifetime]) -> Field:
        """The field of these lifetimes; it takes at most some 64 MB."""
        lives = sorted(lifetimes, key=lambda life: (life.start, life.storage))
        rows = np.array([(life.storage, life.start, life.end, life.bytes) for life in lives], np.int64).reshape(-1, 4)
        storages, starts, ends, sizes = (np.ascontiguousarray(column) for column in rows.T)
        alive = np.arange(len(lives)) - np.searchsorted(np.sort(ends), starts, "right")
        stride = _STRIDE
        while alive[::stride].sum() > _MOST_CROSSING:
            stride *= 2
        first = np.zeros(len(alive[::stride]) + 1, np.int64)
        crossing = np.empty(int(alive[::stride].sum()), np.int64)
        if len(lives):
            _cross(starts, ends, stride, first, crossing)
        return cls(storages, starts, ends, sizes, np.searchsorted(starts, ends, "left"), stride, first, crossing)

    def place(self, sequence: Array, offsets: Array, first_fit: bool) -> None:
        """Place `sequence` one by one and write `offsets`, which also says where others lie already (-1: not placed).

        Each goes into the smallest gap that fits, or with `first_fit` into the lowest; else above all.
        """
        _place(sequence, offsets, first_fit, self.starts, self.ends, self.sizes, self.last, *self._crossings)

    def place_all(self, sequence: Array, first_fit: bool, deadline: float | None = None) -> Array | None:
        """The offsets of all storages, placed in this sequence (see `place`); None if `deadline` (time.perf_counter)
        passed meanwhile."""
        offsets = np.full(len(sequence), UNPLACED)
        for begin in range(0, len(sequence), _AT_ONCE):
            if deadline is not None and time.perf_counter() >= deadline:
                return None
            self.place(sequence[begin : begin + _AT_ONCE], offsets, first_fit)
        return offsets

    @property
    def _crossings(self) -> tuple[int, Array, Array]:
        return self.stride, self.first, self.crossing

    def layout(self, offsets: Array) -> Layout:
        """The layout of complete `offsets`."""
        arena_bytes = int((offsets + self.sizes).max(initial=0))
        return Layout(dict(zip(self.storages.tolist(), offsets.tolist(), strict=True)), arena_bytes)


@compiled
def _cross(starts: Array, ends: Array, stride: int, first: Array, crossing: Array) -> None:
    """Fill `first` and `crossing`: at a checkpoint are those still alive of the checkpoint before, and of the storages
    that began since."""
    kept = 0
    for checkpoint in range(1, len(first) - 1):
        begin = checkpoint * stride
        now = starts[begin]
        for k in range(first[checkpoint - 1], first[checkpoint]):
            if ends[crossing[k]] > now:
                crossing[kept] = crossing[k]
                kept += 1
        for j in range(begin - stride, begin):
            if ends[j] > now:
                crossing[kept] = j
                kept += 1
        first[checkpoint + 1] = kept


@compiled
def _place(
    sequence: Array,
    offsets: Array,
    first_fit: bool,
    starts: Array,
    ends: Array,
    sizes: Array,
    last: Array,
    stride: int,
    first: Array,
    crossing: Array,
) -> None:
    found = np.empty(len(starts), np.int64)
    lows = np.empty(len(starts), np.int64)
    for newcomer in sequence:
        begin, size = starts[newcomer], sizes[newcomer]
        checkpoint = newcomer // stride
        count = 0
        for k in range(first[checkpoint], first[checkpoint + 1]):
            other = crossing[k]
            if offsets[other] >= 0 and ends[other] > begin:
                found[count], lows[count] = other, offsets[other]
                count += 1
        for other in range(checkpoint * stride, last[newcomer]):
            if offsets[other] >= 0 and ends[other] > begin:
                found[count], lows[count] = other, offsets[other]
                count += 1
        reach, chosen, smallest = 0, -1, 0
        for k in np.argsort(lows[:count]):
            gap = lows[k] - reach
            if gap >= size and (chosen < 0 or gap < smallest):
                chosen, smallest = reach, gap
                if first_fit or gap == size:
                    break
            reach = max(reach, lows[k] + sizes[found[k]])
        offsets[newcomer] = reach if chosen < 0 else chosen
