"""PyTorch's CUDA caching allocator, simulated: what eager execution would reserve."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, field

from roam_lab.ir import Graph, Layout, Lifetime, lifetimes
from roam_lab.registry import strategy

ROUNDING = 512
SMALL_REQUEST, SMALL_SEGMENT = 1 << 20, 2 << 20
MEDIUM_REQUEST, MEDIUM_SEGMENT = 10 << 20, 20 << 20
LARGE_ROUNDING = 2 << 20


@dataclass(slots=True)
class _Pool:
    """Free blocks of one kind of segment; blocks of other segments never merge."""

    split_above: int
    free: list[tuple[int, int]] = field(default_factory=list)  # (bytes, address), sorted: best fit is a bisection
    starts: dict[int, int] = field(default_factory=dict)  # address -> bytes of each free block
    ends: dict[int, int] = field(default_factory=dict)  # end -> address of each free block

    def take(self, size: int) -> tuple[int, int] | None:
        """Address and bytes of the smallest free block that fits, its rest split off; None if there is none."""
        at = bisect_left(self.free, (size, 0))
        if at == len(self.free):
            return None
        found, address = self.free[at]
        self._drop(address)
        if found - size > self.split_above:
            self._add(address + size, found - size)
            found = size
        return address, found

    def give(self, address: int, size: int, segment: tuple[int, int]) -> None:
        """A block comes back, or a new segment comes in; it merges with free neighbours in its segment."""
        begin, end = segment
        if address > begin and address in self.ends:
            before = self.ends[address]
            size += self._drop(before)
            address = before
        if address + size < end and address + size in self.starts:
            size += self._drop(address + size)
        self._add(address, size)

    def _add(self, address: int, size: int) -> None:
        insort(self.free, (size, address))
        self.starts[address] = size
        self.ends[address + size] = address

    def _drop(self, address: int) -> int:
        size = self.starts.pop(address)
        del self.ends[address + size]
        del self.free[bisect_left(self.free, (size, address))]
        return size


def _segment_bytes(size: int) -> int:
    if size <= SMALL_REQUEST:
        return SMALL_SEGMENT
    if size < MEDIUM_REQUEST:
        return MEDIUM_SEGMENT
    return -(-size // LARGE_ROUNDING) * LARGE_ROUNDING


@strategy(
    "layout", "caching_allocator", source="c10/cuda/CUDACachingAllocator.cpp, PyTorch: its sizes, splits and merges"
)
def caching_allocator(lifetimes: tuple[Lifetime, ...]) -> Layout:
    """PyTorch's CUDA caching allocator simulated: a baseline; its arena is the bytes that would be reserved.

    Requests are rounded to 512 bytes; up to 1 MiB they come from segments of 2 MiB, below 10 MiB from segments
    of 20 MiB, above from segments of their own rounded to 2 MiB. Best fit; a block is split if the rest is at least
    512 bytes (small) or above 1 MiB (large); neighbours merge when freed; segments are never given back.
    """
    small, large = _Pool(ROUNDING - 1), _Pool(SMALL_REQUEST)
    reserved = 0
    offsets: dict[int, int] = {}
    held: dict[int, tuple[_Pool, int, int]] = {}  # address -> pool, bytes of the block, its segment
    segments: list[tuple[int, int]] = []
    # What ended before a step is freed before the step allocates.
    events = [(life.start, 1, life) for life in lifetimes] + [(life.end, 0, life) for life in lifetimes]
    for _, allocates, life in sorted(events, key=lambda event: (event[0], event[1], event[2].storage)):
        if not allocates:
            address = offsets[life.storage]
            pool, size, segment = held.pop(address)
            pool.give(address, size, segments[segment])
            continue
        size = -(-life.bytes // ROUNDING) * ROUNDING
        pool = small if size <= SMALL_REQUEST else large
        found = pool.take(size)
        if found is None:
            new = (reserved, reserved + _segment_bytes(size))
            segments.append(new)
            pool.give(reserved, new[1] - new[0], new)
            reserved = new[1]
            found = pool.take(size)
            assert found is not None
        address, taken = found
        offsets[life.storage] = address
        held[address] = (pool, taken, bisect_left(segments, (address + 1, 0)) - 1)
    return Layout(offsets, reserved)


def reserved_bytes(graph: Graph, order: Sequence[int]) -> int:
    """Bytes that PyTorch's caching allocator would reserve for the storages of `order` (simulated)."""
    return caching_allocator(lifetimes(graph, order)).arena_bytes
