"""Expandable segments: memory by pages, contiguous where it can be."""

from __future__ import annotations

import pytest

from roam_lab.layout.caching.allocator import CachingAllocator, DeviceFullError
from roam_lab.layout.caching.settings import MIB, AllocatorSettings


def allocator(limit: int | None = None) -> CachingAllocator:
    return CachingAllocator(AllocatorSettings(expandable=True), None if limit is None else limit * MIB)


def test_pages_of_2_and_of_20_mib() -> None:
    one = allocator()
    one.allocate(512)
    assert one.reserved.now == 2 * MIB
    one.allocate(11 * MIB)
    assert one.reserved.now == 22 * MIB
    one.allocate(30 * MIB)  # 9 MiB are left in the first page
    assert one.reserved.now == 2 * MIB + 60 * MIB


def test_a_freed_block_grows() -> None:
    one = allocator()
    one.allocate(10 * MIB)
    one.free(one.allocate(30 * MIB))
    one.allocate(50 * MIB)
    assert one.reserved.now == 60 * MIB


def test_a_rest_of_512_bytes_is_split_off_in_large_blocks_too() -> None:
    one = allocator()
    first, second = one.allocate(20 * MIB - 512), one.allocate(20 * MIB)
    assert (first.size, second.address) == (20 * MIB - 512, first.address + first.size)
    assert one.reserved.now == 40 * MIB


def test_whole_free_pages_are_unmapped_and_filled_again() -> None:
    one = allocator()
    blocks = [one.allocate(25 * MIB) for _ in range(4)]
    assert one.reserved.now == 100 * MIB
    one.free(blocks[1])
    one.empty_cache()
    assert one.reserved.now == 100 * MIB  # 25 to 50 MiB hold no whole page
    one.free(blocks[2])
    one.empty_cache()
    assert one.reserved.now == 80 * MIB  # of 25 to 75 MiB the page from 40 to 60
    assert one.allocate(50 * MIB).address == blocks[1].address
    assert one.reserved.now == 100 * MIB


def test_a_whole_segment_goes() -> None:
    one = allocator()
    one.free(one.allocate(50 * MIB))
    one.empty_cache()
    assert one.reserved.now == 0
    one.allocate(50 * MIB)
    assert one.reserved.now == 60 * MIB


def test_under_a_limit() -> None:
    one = allocator(100)
    first, second = one.allocate(38 * MIB), one.allocate(38 * MIB)
    one.free(first)
    with pytest.raises(DeviceFullError):
        one.allocate(60 * MIB)
    assert one.reserved.now == 60 * MIB  # the page from 0 to 20 MiB is given back, that from 20 on is shared
    one.free(second)
    one.allocate(60 * MIB)
    assert one.reserved.now == 60 * MIB
