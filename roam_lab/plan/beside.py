"""Where external storages lie (those that ops allocate themselves): in the arena like the others, or beside it.

An external storage has an offset in the arena, but its op allocates other memory for it. So that both together take no
more than the arena, the arena's memory at that offset is given up meanwhile. On the CPU its pages are returned to the
system (`runtime/holes.py`). That costs time, as pages are faulted in again, and malloc keeps some of what is freed; so
where a region of their own above the arena costs next to nothing, external storages lie there. On CUDA the range is
lent to the caching allocator (`runtime/lending.py`), for which it is the best fit for the op's result.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from roam_lab.ir import Graph, Lifetime, Order, Storage, lifetimes

SMALL_BYTES = 2**20
"""Up to this size CUDA's caching allocator serves requests from other segments, and does not split off what is left of
a block (kSmallSize in c10/cuda/CUDACachingAllocator.cpp)."""
LEAST_LENDING_BYTES = 2 * SMALL_BYTES
"""Ranges of an arena of fewer bytes are not lent: it would lie in a segment of small blocks."""
ROUNDING = 512
"""The allocator rounds requests up to a multiple of so many bytes."""
APART = 0.001
"""On the CPU: the most that a region of their own for external storages may add, as a fraction of the live peak."""


class FreeRanges:
    """The maximal ranges [start, end) of an arena of `size` bytes that are not lent."""

    def __init__(self, size: int) -> None:
        self.ranges: list[tuple[int, int]] = [(0, rounded(size))]
        self.lent: dict[int, int] = {}

    def lend(self, start: int, size: int) -> tuple[int, int] | None:
        """Lend `size` bytes from `start` on, with a small piece behind them that would be left of the free range.
        Returns the free range that they were taken from; None, lending nothing, where the allocator could not cut them
        out: they are no part of a free range, or would leave a small piece before them.
        """
        end = start + rounded(size)
        free = next(((low, high) for low, high in self.ranges if low <= start and end <= high), None)
        if free is None or 0 < start - free[0] <= SMALL_BYTES:
            return None
        end = end if free[1] - end > SMALL_BYTES else free[1]
        at = self.ranges.index(free)
        self.ranges[at : at + 1] = [one for one in ((free[0], start), (end, free[1])) if one[0] < one[1]]
        self.lent[start] = end
        return free

    def take_back(self, start: int) -> list[tuple[int, int]]:
        """End the lending of the range that begins at `start`. Returns the neighbouring free ranges, none to two, that
        are joined with it."""
        end = self.lent.pop(start)
        near = [one for one in self.ranges if start in one or end in one]
        others = [one for one in self.ranges if one not in near]
        low, high = min([start, *(one[0] for one in near)]), max([end, *(one[1] for one in near)])
        self.ranges = sorted([*others, (low, high)])
        return near


def rounded(size: int) -> int:
    """`size` rounded up as the allocator does."""
    return -(-size // ROUNDING) * ROUNDING


def lies_beside(storage: Storage, device: str) -> bool:
    """Whether a storage always takes memory on top of the arena on this device, because no range can be lent for it."""
    if not storage.external or not device.startswith("cuda"):
        return False
    return storage.bytes <= SMALL_BYTES or storage.output


def takes_large_blocks(storage: Storage) -> bool:
    """Whether the allocator serves a storage from segments of large blocks, in which ranges of an arena may be lent."""
    return storage.external and storage.bytes > SMALL_BYTES


def beside_of(graph: Graph, device: str) -> frozenset[int]:
    """The storages of a graph that lie beside the arena on this device (see `lies_beside`)."""
    return frozenset(index for index, storage in enumerate(graph.storages) if lies_beside(storage, device))


def most_apart(graph: Graph, lives: Sequence[Lifetime]) -> int | None:
    """On the CPU: the most bytes that a layout with a region of its own for all external storages may take, to be
    preferred. None where there are no external storages, or no such layout can take so little."""
    inside = [life for life in lives if not graph.storages[life.storage].external]
    outside = [life for life in lives if graph.storages[life.storage].external]
    most = int(_most_alive(lives) * (1 + APART))
    return most if outside and _most_alive(inside) + _most_alive(outside) <= most else None


def _most_alive(lives: Sequence[Lifetime]) -> int:
    """The most bytes of these lifetimes that live at once."""
    changes: dict[int, int] = {}
    for life in lives:
        changes[life.start] = changes.get(life.start, 0) + life.bytes
        changes[life.end] = changes.get(life.end, 0) - life.bytes
    return max(accumulate(changes[step] for step in sorted(changes)), default=0)


def lent(graph: Graph, order: Order, offsets: Mapping[int, int]) -> tuple[dict[int, int], int]:
    """On CUDA: for each external storage that is lent a range of the arena, at its offset, the bytes of that range; and
    the bytes of the arena.

    Several results of one op are lent ranges only if the allocator cannot give the range of one to another. A small
    piece between a range and the next is lent with the first, so that the next one begins where a free range does.
    """
    placed = {index for index, storage in enumerate(graph.storages) if index in offsets and not storage.external}
    found = frozenset(
        index
        for index, storage in enumerate(graph.storages)
        if index in offsets and storage.external and not lies_beside(storage, "cuda")
    )
    while True:
        size = _top(graph, offsets, placed | found)
        possible = _possible(graph, order, offsets, found, size)
        if possible.keys() == found:
            return possible, size
        found = frozenset(possible)


def _possible(
    graph: Graph, order: Order, offsets: Mapping[int, int], wanted: frozenset[int], size: int
) -> dict[int, int]:
    ranges = FreeRanges(size)
    found: dict[int, int] = {}
    edges = sorted({offsets[storage] for storage in wanted})
    starts: dict[int, list[int]] = {}
    ends: dict[int, list[int]] = {}
    for life in lifetimes(graph, order):
        if life.storage in wanted:
            starts.setdefault(life.start, []).append(life.storage)
            ends.setdefault(life.end, []).append(life.storage)
    for step in sorted({*starts, *ends}):
        for storage in ends.get(step, ()):
            if storage in found:
                ranges.take_back(offsets[storage])
        found.update(_apart(ranges, graph, starts.get(step, ()), offsets, edges))
    return found


def _apart(
    ranges: FreeRanges, graph: Graph, storages: Sequence[int], offsets: Mapping[int, int], edges: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Lend ranges to the storages of one op, the largest first, as far as they differ in size and do not touch. Yields
    (storage, bytes lent)."""
    given: dict[int, int] = {}
    for storage in sorted(storages, key=lambda one: (-graph.storages[one].bytes, one)):
        start, size = offsets[storage], rounded(graph.storages[storage].bytes)
        length = _up_to_the_next(start + size, edges) - start
        if ranges.lend(start, length) is None:
            length = size
            if ranges.lend(start, length) is None:
                continue
        end = ranges.lent[start]
        least = min(given.values(), default=None)
        ends = {ranges.lent[other] for other in given}
        if (least is not None and end - start >= least) or start in ends or end in given:
            ranges.take_back(start)
            continue
        given[start] = size
        yield storage, length


def _up_to_the_next(end: int, edges: Sequence[int]) -> int:
    """The first of the `edges` (ascending offsets) from `end` on, if only a small piece lies between; else `end`."""
    place = bisect_left(edges, end)
    return edges[place] if place < len(edges) and edges[place] - end <= SMALL_BYTES else end


def top_of(graph: Graph, offsets: Mapping[int, int]) -> int:
    """Bytes of the arena's memory on the CPU: the end of the highest storage that is not external."""
    return _top(graph, offsets, (index for index in offsets if not graph.storages[index].external))


def _top(graph: Graph, offsets: Mapping[int, int], storages: Iterable[int]) -> int:
    return max((offsets[index] + graph.storages[index].bytes for index in storages), default=0)
