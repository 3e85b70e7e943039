"""Expandable segments of the simulated allocator: large ranges of addresses, into which memory is mapped page by page
where it is needed."""

from __future__ import annotations

from roam_lab.layout.caching.blocks import Block, Pool

ADDRESS_SPACE = 1 << 40
"""Bytes of addresses of one expandable segment; no device has as much memory."""


def grow(pool: Pool, size: int, new_segment: int) -> tuple[Block, int]:
    """A free block of at least `size` bytes, taken out of its pool, and the bytes that were mapped for it.

    It begins at the lowest address where there is room for it; `new_segment` is where a new segment would begin.
    """
    block, mapped = _lowest(pool, size), 0
    if block is None:
        block = Block(new_segment, ADDRESS_SPACE // pool.page_bytes * pool.page_bytes, pool, new_segment, mapped=False)
        pool.add(block)
    if not block.mapped:
        mapped += _map(block, min(block.size, size))
    while block.size < size:
        rest, following = size - block.size, block.after
        assert following is not None
        mapped += _map(following, min(rest, following.size))
        block = following
    pool.drop(block)
    return block, mapped


def _lowest(pool: Pool, size: int) -> Block | None:
    for address in pool.unmapped:
        block = pool.unmapped_at[address]
        if block.before is not None and not block.before.allocated:
            block = block.before
        room, at = 0, block
        while room < size and at is not None and not at.allocated:
            room, at = room + at.size, at.after  # type: ignore[assignment]
        if room >= size:
            return block
    return None


def _map(block: Block, size: int) -> int:
    """Map memory for the first `size` bytes, rounded up to pages, of an unmapped block, and join them with free
    neighbours. Returns the bytes mapped."""
    pool, pages = block.pool, -(-size // block.pool.page_bytes)
    pool.drop(block)
    if pages * pool.page_bytes < block.size:
        pool.add(block.cut(pages * pool.page_bytes))
    block.mapped, mapped = True, block.size
    block.merge()
    pool.add(block)
    return mapped


def unmap(block: Block) -> int:
    """Unmap the whole pages inside a free block. Returns their bytes."""
    pool = block.pool
    page, begin = pool.page_bytes, block.segment
    assert begin is not None
    first = begin + -(-(block.address - begin) // page) * page
    last = begin + (block.address + block.size - begin) // page * page
    if first >= last:
        return 0
    pool.drop(block)
    if first > block.address:
        rest = block.cut(first - block.address)
        pool.add(block)
        block = rest
    if last < block.address + block.size:
        pool.add(block.cut(last - block.address))
    block.mapped, unmapped = False, block.size
    block.merge()
    if not block.whole:  # else all of the segment goes
        pool.add(block)
    return unmapped
