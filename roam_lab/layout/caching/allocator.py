"""A simulation of PyTorch's CUDA caching allocator, request by request: the bytes that it reserves, and whether a
request fails under a limit of memory."""

from __future__ import annotations

from dataclasses import dataclass

from roam_lab.layout.caching.blocks import Block, Pool
from roam_lab.layout.caching.expandable import ADDRESS_SPACE, grow, unmap
from roam_lab.layout.caching.settings import MIB, ROUNDING, AllocatorSettings

SMALL_REQUEST, SMALL_SEGMENT = MIB, 2 * MIB
MEDIUM_REQUEST = 10 * MIB
LARGE_ROUNDING = 2 * MIB


class DeviceFullError(Exception):
    """A request does not fit under the limit, though all cached segments were given back."""


@dataclass(slots=True)
class Figure:
    """A number of bytes: its value `now`, and the greatest that it had, `peak`."""

    now: int = 0
    peak: int = 0

    def add(self, size: int) -> None:
        """Add `size` bytes; a negative `size` takes bytes away."""
        self.now += size
        self.peak = max(self.peak, self.now)


class CachingAllocator:
    """Requests are served from cached blocks, the smallest that fits; where none does, a segment is reserved.

    Requests are rounded to 512 bytes. Up to 1 MiB they come from segments of 2 MiB, below 10 MiB from segments of 20
    MiB, above from segments of their own, rounded to 2 MiB. A block is split if the rest is at least 512 bytes (small)
    or above 1 MiB (large); neighbours merge when freed. `limit_bytes`: the most that may be reserved; where a segment
    would pass it, cached segments are given back before the allocator gives up. Of blocks of equal size the one at the
    lowest address is taken; new segments lie above the old ones.

    `allocated`, `requested`, `reserved`: the figures of torch.cuda.memory_stats. One stream, no graph capture.
    Source: c10/cuda/CUDACachingAllocator.cpp, PyTorch.
    """

    def __init__(self, settings: AllocatorSettings | None = None, limit_bytes: int | None = None) -> None:
        self.settings = settings or AllocatorSettings()
        self.limit_bytes = limit_bytes
        self.allocated, self.requested, self.reserved = Figure(), Figure(), Figure()
        self._small = Pool(True, SMALL_SEGMENT)
        self._large = Pool(False, self.settings.large_segment_bytes)
        self._next = 0

    def allocate(self, size: int) -> Block:
        """A block for `size` bytes (at least 1). Raises DeviceFullError under a limit, ValueError without a size."""
        if size < 1:
            raise ValueError(f"a request of {size} bytes takes no block")
        rounded = self.settings.rounded(size)
        pool = self._small if rounded <= SMALL_REQUEST else self._large
        block = self._cached(pool, rounded) or self._reserved(pool, rounded)
        if block is None:
            raise DeviceFullError(
                f"a request of {size:,} bytes finds no room: {self.reserved.now:,} bytes are reserved, "
                f"{self.allocated.now:,} of them allocated, and the limit is {self.limit_bytes:,}"
            )
        if self._splits(block, rounded):
            pool.add(block.cut(rounded))
        block.allocated, block.requested = True, size
        self.allocated.add(block.size)
        self.requested.add(size)
        return block

    def free(self, block: Block) -> None:
        """Return a block, which is cached for later requests. Raises ValueError for one that is free already."""
        if not block.allocated:
            raise ValueError(f"the block at {block.address} is free already")
        block.allocated = False
        self.allocated.add(-block.size)
        self.requested.add(-block.requested)
        block.merge()
        block.pool.add(block)

    def empty_cache(self) -> None:
        """Give back every segment, or page of an expandable one, in which nothing is allocated."""
        for pool in (self._large, self._small):
            for block in pool.blocks():
                if block.segment is not None:
                    self.reserved.add(-unmap(block))
                elif block.whole:
                    self._release(block)

    def _cached(self, pool: Pool, size: int) -> Block | None:
        """The smallest free block that fits, taken out of its pool."""
        settings, at = self.settings, pool.from_size(size)
        if self._collects:
            pool.searches += 1
        if at == len(pool.free):
            return None
        block = pool.at[pool.free[at][1]]
        if settings.expandable:  # the last block can grow: it counts for what it can grow to
            while at + 1 < len(pool.free):
                following = pool.at[pool.free[at + 1][1]]
                if _size_grown(following) >= _size_grown(block):
                    break
                block, at = following, at + 1
        most = settings.max_split_bytes
        if most is not None and size < most <= block.size:
            return None
        rounding = settings.non_split_rounding_bytes or settings.large_segment_bytes
        if most is not None and size >= most and block.size >= size + rounding:
            return None
        pool.drop(block)
        return block

    def _reserved(self, pool: Pool, size: int) -> Block | None:
        """A block of new memory; under a limit after giving back what is cached."""
        if self._collects:
            self._collect()
        block = self._segment(pool, size)
        if block is None and self._give_back_oversize(pool, size):
            block = self._segment(pool, size)
        if block is None:
            self.empty_cache()
            block = self._segment(pool, size)
        return block

    def _segment(self, pool: Pool, size: int) -> Block | None:
        segment = self._segment_bytes(size)
        if self.limit_bytes is not None and self.reserved.now + segment > self.limit_bytes:
            return None
        address = self._next
        if self.settings.expandable:
            block, mapped = grow(pool, size, address)
            self._next += ADDRESS_SPACE if block.segment == address else 0
            self.reserved.add(mapped)
            return block
        self._next += -(-segment // LARGE_ROUNDING) * LARGE_ROUNDING
        self.reserved.add(segment)
        return Block(address, segment, pool)

    def _segment_bytes(self, size: int) -> int:
        if size <= SMALL_REQUEST:
            return SMALL_SEGMENT
        if size < MEDIUM_REQUEST:
            return self.settings.large_segment_bytes
        return -(-size // LARGE_ROUNDING) * LARGE_ROUNDING

    def _splits(self, block: Block, size: int) -> bool:
        rest = block.size - size
        if block.pool.small or self.settings.expandable:
            return rest >= ROUNDING
        return rest > SMALL_REQUEST and size < (self.settings.max_split_bytes or size + 1)

    def _give_back_oversize(self, pool: Pool, size: int) -> bool:
        """With a limit of block size above which blocks are not split: give back cached blocks above that limit, one
        that is large enough for `size`, or several from the largest down. Returns whether that sufficed."""
        most = self.settings.max_split_bytes
        if most is None:
            return False
        wanted = max(size, most)
        at = pool.from_size(wanted)
        if at < len(pool.free) and pool.at[pool.free[at][1]].segment is None:
            self._release(pool.at[pool.free[at][1]])
            return True
        given = 0
        for block in reversed(pool.blocks()[:at]):
            if given >= wanted or block.size < most:
                break
            if block.segment is None:
                given += block.size
                self._release(block)
        return given >= wanted

    @property
    def _collects(self) -> bool:
        return self.limit_bytes is not None and self.settings.collect_above > 0

    def _collect(self) -> None:
        """Give back cached large segments that were unused for longer than the average, until enough is free."""
        assert self.limit_bytes is not None
        wanted = self.reserved.now - int(self.settings.collect_above * self.limit_bytes)
        left = [block for block in self._large.blocks() if block.whole and block.segment is None]
        while wanted > 0 and left:
            age = {block: self._large.searches - block.since for block in left}
            total, count = sum(age.values()), len(left)
            old = [block for block in left if age[block] >= total / count]
            for block in old:
                wanted -= block.size
                self._release(block)
            left = [block for block in left if block not in old]

    def _release(self, block: Block) -> None:
        block.pool.drop(block)
        self.reserved.add(-block.size)


def _size_grown(block: Block) -> int:
    following = block.after
    return block.size + (following.size if following is not None and not following.mapped else 0)
