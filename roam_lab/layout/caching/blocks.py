"""Blocks of the simulated caching allocator, and the pools in which the free ones lie."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class Block:
    """A piece of a segment: handed out, free in its pool, or (expandable segments) with no memory behind it.

    `address`, `size`: in bytes; `requested`: the bytes of the request that it serves. `before`, `after`: its neighbours
    in the segment. `segment`: the address where its expandable segment begins, None in another segment. `since`: the
    value of `Pool.searches` when it became free.
    """

    address: int
    size: int
    pool: Pool
    segment: int | None = None
    requested: int = 0
    allocated: bool = False
    mapped: bool = True
    before: Block | None = None
    after: Block | None = None
    since: int = 0

    @property
    def whole(self) -> bool:
        """Whether it is its whole segment."""
        return self.before is None and self.after is None

    def cut(self, size: int) -> Block:
        """Keep the first `size` bytes; the rest is a block of its own behind it, in no pool yet."""
        rest = Block(self.address + size, self.size - size, self.pool, self.segment, mapped=self.mapped)
        rest.before, rest.after = self, self.after
        if self.after is not None:
            self.after.before = rest
        self.after, self.size = rest, size
        return rest

    def merge(self) -> None:
        """Join this free block with its free neighbours, where both have memory behind them, or neither has."""
        for other in (self.before, self.after):
            if other is None or other.allocated or other.mapped != self.mapped:
                continue
            other.pool.drop(other)
            if other is self.before:
                self.address, self.before = other.address, other.before
                if self.before is not None:
                    self.before.after = self
            else:
                self.after = other.after
                if self.after is not None:
                    self.after.before = self
            self.size += other.size


@dataclass(eq=False, slots=True)
class Pool:
    """The free blocks of all small, or of all large, segments. `page_bytes`: the step by which its expandable segments
    grow; `searches`: how often a free block was looked for."""

    small: bool
    page_bytes: int
    free: list[tuple[int, int]] = field(default_factory=list)  # (bytes, address), sorted: best fit is a bisection
    at: dict[int, Block] = field(default_factory=dict)  # address -> free block
    unmapped: list[int] = field(default_factory=list)  # addresses, sorted
    unmapped_at: dict[int, Block] = field(default_factory=dict)
    searches: int = 0

    def add(self, block: Block) -> None:
        """Add a free block."""
        if block.mapped:
            insort(self.free, (block.size, block.address))
            self.at[block.address] = block
            block.since = self.searches
        else:
            insort(self.unmapped, block.address)
            self.unmapped_at[block.address] = block

    def drop(self, block: Block) -> None:
        """Remove a free block."""
        if block.mapped:
            del self.free[bisect_left(self.free, (block.size, block.address))]
            del self.at[block.address]
        else:
            del self.unmapped[bisect_left(self.unmapped, block.address)]
            del self.unmapped_at[block.address]

    def from_size(self, size: int) -> int:
        """Position in `free` of the smallest block of at least `size` bytes; len(free) where there is none."""
        return bisect_left(self.free, (size, 0))

    def blocks(self, start: int = 0) -> list[Block]:
        """The free blocks, by size, then by address, from position `start` of `free` on."""
        return [self.at[address] for _, address in self.free[start:]]
