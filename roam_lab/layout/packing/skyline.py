"""The skyline of strip packing: the height up to which the arena is taken at each moment. Buffers are placed on its
lowest stretch (Burke et al. 2004)."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from roam_lab.ir import Layout, Lifetime
from roam_lab.solvers.compiled import compiled

Array = NDArray[np.int64]

_AT_ONCE = 2048
"""Buffers placed between two checks of the clock."""


class Skyline:
    """Buffers to be placed on a skyline, numbered by start; a moment is the rank of a start or end among all of
    them."""

    def __init__(self, lifetimes: Sequence[Lifetime]) -> None:
        self.lives = sorted(lifetimes, key=lambda life: (life.start, life.storage))
        rows = np.array([(life.start, life.end, life.bytes) for life in self.lives], np.int64).reshape(-1, 3)
        moments = np.unique(rows[:, :2])
        self.starts = np.searchsorted(moments, rows[:, 0])
        self.ends = np.searchsorted(moments, rows[:, 1])
        self.sizes = rows[:, 2].copy()
        self.first = np.searchsorted(self.starts, np.arange(len(moments)))  # who begins then or later

    def lay(self, sequence: Array, walls: bool, deadline: float | None = None) -> Array | None:
        """Byte offsets of all buffers, each placed on the lowest stretch of the skyline at its turn (the earliest of
        several); None if `deadline` (time.perf_counter) passed meanwhile.

        Of the buffers that live within the stretch the first of `sequence` is taken. With `walls`, buffers that begin
        and end with the stretch go before those that only begin or only end with it, and these before all others. Where
        no buffer lives within the stretch, it is raised to its lower neighbour and joined with it: the space below is
        lost.
        """
        count, moments = len(sequence), len(self.first)
        ranks, offsets = np.empty(count, np.int64), np.empty(count, np.int64)
        ranks[sequence] = np.arange(count)
        line = np.zeros((3, moments), np.int64)
        skip = np.arange(count + 1)
        if count:
            line[1, 0] = moments - 1
        for begin in range(0, count, _AT_ONCE):
            if deadline is not None and time.perf_counter() >= deadline:
                return None
            most = min(_AT_ONCE, count - begin)
            _lay(self.starts, self.ends, self.sizes, self.first, ranks, walls, line, skip, offsets, most)
        return offsets

    def layout(self, offsets: Array) -> Layout:
        """The layout of complete `offsets`."""
        storages = (life.storage for life in self.lives)
        arena_bytes = int((offsets + self.sizes).max(initial=0))
        return Layout(dict(zip(storages, offsets.tolist(), strict=True)), arena_bytes)

    def ranked(self, key: Callable[[Lifetime], tuple[int, ...]]) -> Array:
        """The buffers in the sequence that `key` sorts them into."""
        return np.array(sorted(range(len(self.lives)), key=lambda number: key(self.lives[number])), np.int64)


@compiled
def _lay(
    starts: Array,
    ends: Array,
    sizes: Array,
    first: Array,
    ranks: Array,
    walls: bool,
    line: Array,
    skip: Array,
    offsets: Array,
    most: int,
) -> None:
    """Place the next `most` buffers. A stretch is indexed by the moment at which it begins: the rows of `line` hold its
    height, its end (0: no stretch begins here) and the beginning of the stretch before it. `skip[i]`: a lower bound for
    the first buffer from i on that is not placed yet."""
    count, moments = len(starts), len(first) - 1
    heights, ends_at, before = line[0], line[1], line[2]
    begin = 0
    queue = [(heights[0], begin)]
    while ends_at[begin] < moments:
        begin = ends_at[begin]
        queue.append((heights[begin], begin))
    heapq.heapify(queue)
    while most:
        height, begin = heapq.heappop(queue)
        end = ends_at[begin]
        if end == 0 or heights[begin] != height:
            continue  # it has been joined or lifted since
        chosen, best = -1, 0
        at = first[begin]
        while at < first[end]:
            if skip[at] > at:
                while skip[skip[at]] > skip[at]:
                    skip[at] = skip[skip[at]]
                at = skip[at]
                continue
            if ends[at] <= end:
                rank = ranks[at]
                if walls:
                    rank -= count * (
                        int(starts[at] == begin) + int(ends[at] == end)
                    )  # plain Python adds NumPy bools to one
                if chosen < 0 or rank < best:
                    chosen, best = at, rank
            at += 1
        if chosen >= 0:
            offsets[chosen] = height
            skip[chosen] = chosen + 1
            most -= 1
            low, high, raised = starts[chosen], ends[chosen], height + sizes[chosen]
        else:
            raised = 2**62
            if begin > 0:
                raised = heights[before[begin]]
            if end < moments:
                raised = min(raised, heights[end])
            low, high = begin, end
        # The stretch becomes up to three: before `low`, [low, high) at its new height, from `high` on.
        if high < end:
            heights[high], ends_at[high], before[high] = height, end, low
            if end < moments:
                before[end] = high
            heapq.heappush(queue, (height, high))
        if low > begin:
            ends_at[begin], before[low] = low, begin
            heapq.heappush(queue, (height, begin))
        heights[low], ends_at[low] = raised, high
        if high < moments:
            before[high] = low
        if high < moments and heights[high] == raised:
            after = ends_at[high]
            ends_at[low], ends_at[high] = after, 0
            if after < moments:
                before[after] = low
        if low > 0 and heights[before[low]] == raised:
            joined, after = before[low], ends_at[low]
            ends_at[joined], ends_at[low] = after, 0
            if after < moments:
                before[after] = joined
            low = joined
        heapq.heappush(queue, (raised, low))
