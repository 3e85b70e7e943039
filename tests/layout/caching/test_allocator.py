"""The simulated caching allocator, rule by rule; that they are the real one's is tested on the fake device."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.layout.caching.allocator import CachingAllocator, DeviceFullError
from roam_lab.layout.caching.blocks import Block
from roam_lab.layout.caching.settings import MIB, AllocatorSettings


@pytest.mark.parametrize(
    ("size", "reserved"),
    [
        (1, 2 * MIB),
        (MIB, 2 * MIB),
        (MIB + 1, 20 * MIB),
        (10 * MIB - 512, 20 * MIB),
        (10 * MIB - 1, 10 * MIB),  # rounded to 10 MiB first
        (11 * MIB, 12 * MIB),
    ],
)
def test_segments(size: int, reserved: int) -> None:
    allocator = CachingAllocator()
    block = allocator.allocate(size)
    assert (allocator.reserved.now, allocator.requested.now) == (reserved, size)
    assert allocator.allocated.now == block.size >= size
    allocator.free(block)
    assert (allocator.reserved.now, allocator.allocated.now, allocator.requested.now) == (reserved, 0, 0)
    allocator.empty_cache()
    assert (allocator.reserved.now, allocator.reserved.peak) == (0, reserved)


def test_small_and_large_requests_never_share_a_segment() -> None:
    allocator = CachingAllocator()
    allocator.free(allocator.allocate(12 * MIB))
    allocator.allocate(512)
    assert allocator.reserved.now == 14 * MIB


def test_the_rest_of_a_large_block_is_split_off_above_1_mib() -> None:
    allocator = CachingAllocator()
    assert allocator.allocate(11 * MIB).size == 12 * MIB
    assert allocator.allocate(11 * MIB - 512).size == 11 * MIB - 512
    assert allocator.reserved.now == 24 * MIB


def test_the_smallest_block_that_fits_then_the_lowest_address() -> None:
    allocator = CachingAllocator()
    blocks = [allocator.allocate(size * MIB) for size in (30, 14, 14)]
    for block in blocks:
        allocator.free(block)
    assert allocator.allocate(13 * MIB).address == blocks[1].address
    assert allocator.allocate(13 * MIB).address == blocks[2].address


def test_neighbours_merge() -> None:
    allocator = CachingAllocator()
    blocks = [allocator.allocate(6 * MIB) for _ in range(3)]
    for block in (blocks[0], blocks[2], blocks[1]):
        allocator.free(block)
    assert allocator.allocate(20 * MIB).address == 0
    assert allocator.reserved.now == 20 * MIB


def test_misuse() -> None:
    allocator = CachingAllocator()
    block = allocator.allocate(1)
    allocator.free(block)
    with pytest.raises(ValueError, match="free already"):
        allocator.free(block)
    with pytest.raises(ValueError, match="0 bytes"):
        allocator.allocate(0)


def test_a_cached_segment_is_given_back_before_it_gives_up() -> None:
    allocator = CachingAllocator(limit_bytes=100 * MIB)
    allocator.free(allocator.allocate(60 * MIB))
    held = allocator.allocate(70 * MIB)
    assert allocator.reserved.now == 70 * MIB
    with pytest.raises(DeviceFullError, match=r"a request of 32,505,856 bytes finds no room: 73,400,320 .* limit"):
        allocator.allocate(31 * MIB)
    assert allocator.reserved.now == allocator.allocated.now == held.size


def test_a_segment_in_use_is_not_given_back() -> None:
    allocator = CachingAllocator(limit_bytes=40 * MIB)
    kept, freed = allocator.allocate(2 * MIB), allocator.allocate(9 * MIB)
    allocator.free(freed)
    with pytest.raises(DeviceFullError):
        allocator.allocate(22 * MIB)
    allocator.free(kept)
    allocator.allocate(22 * MIB)
    assert allocator.reserved.now == 22 * MIB


def limited(most: int, **more: int) -> CachingAllocator:
    return CachingAllocator(AllocatorSettings(max_split_bytes=most * MIB), **more)


def test_above_the_split_limit_blocks_stay_whole() -> None:
    allocator = limited(32)
    allocator.free(allocator.allocate(40 * MIB))
    allocator.allocate(20 * MIB)  # a smaller request does not get it
    assert allocator.reserved.now == 60 * MIB
    assert allocator.allocate(33 * MIB).size == 40 * MIB  # a larger one does, whole
    allocator.free(allocator.allocate(60 * MIB))
    assert allocator.allocate(40 * MIB).size == 40 * MIB  # up to 20 MiB too large: 60 MiB is too much
    assert allocator.reserved.now == 160 * MIB


def test_under_a_limit_blocks_above_the_split_limit_go_first() -> None:
    allocator = limited(32, limit_bytes=130 * MIB)
    for block in [allocator.allocate(size * MIB) for size in (12, 40, 50)]:
        allocator.free(block)
    allocator.allocate(30 * MIB)  # gives back the smallest above the limit that is large enough
    assert allocator.reserved.now == (12 + 50 + 30) * MIB
    with pytest.raises(DeviceFullError):
        allocator.allocate(110 * MIB)
    assert allocator.reserved.now == 30 * MIB


def test_several_blocks_above_the_split_limit_go_the_largest_first() -> None:
    allocator = limited(32, limit_bytes=150 * MIB)
    for block in [allocator.allocate(size * MIB) for size in (12, 40, 40, 50)]:
        allocator.free(block)
    allocator.allocate(80 * MIB)
    assert allocator.reserved.now == (12 + 40 + 80) * MIB


def test_long_unused_segments_are_collected() -> None:
    allocator = CachingAllocator(AllocatorSettings(collect_above=0.5), limit_bytes=500 * MIB)
    old, young = allocator.allocate(60 * MIB), allocator.allocate(50 * MIB)
    allocator.free(old)
    allocator.allocate(70 * MIB)
    allocator.free(young)
    allocator.allocate(90 * MIB)
    assert allocator.reserved.now == 270 * MIB
    allocator.allocate(64 * MIB)  # 20 MiB above the half: the old one is enough
    assert allocator.reserved.now == (50 + 70 + 90 + 64) * MIB


def live_ranges(held: list[Block]) -> list[tuple[int, int]]:
    return sorted((block.address, block.address + block.size) for block in held)


SETTINGS = (
    AllocatorSettings(),
    AllocatorSettings(max_split_bytes=24 * MIB),
    AllocatorSettings(expandable=True),
    AllocatorSettings(divisions=(4,) * 16, collect_above=0.5),
)
REQUESTS = st.lists(
    st.tuples(st.integers(1, 3 * MIB) | st.integers(1, 60 * MIB) | st.sampled_from([512, MIB, 20 * MIB]), st.booleans())
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(SETTINGS), st.sampled_from([None, 150 * MIB]), REQUESTS, st.randoms(use_true_random=False))
def test_no_two_live_blocks_overlap_and_the_figures_add_up(setting, limit, requests, random) -> None:  # type: ignore[no-untyped-def]
    allocator, held = CachingAllocator(setting, limit), list[Block]()
    most = 0
    for size, frees in requests:
        if frees and held:
            allocator.free(held.pop(random.randrange(len(held))))
        try:
            held.append(allocator.allocate(size))
        except DeviceFullError:
            assert limit is not None
        ranges = live_ranges(held)
        assert all(end <= begin for (_, end), (begin, _) in pairwise(ranges))
        assert all(block.size >= block.requested > 0 for block in held)
        assert allocator.allocated.now == sum(block.size for block in held)
        assert allocator.requested.now == sum(block.requested for block in held)
        assert allocator.allocated.now <= allocator.reserved.now
        assert limit is None or allocator.reserved.now <= limit + 18 * MIB * setting.expandable
        most = max(most, allocator.reserved.now)
        assert allocator.reserved.peak >= most
    for block in held:
        allocator.free(block)
    allocator.empty_cache()
    assert (allocator.allocated.now, allocator.requested.now, allocator.reserved.now) == (0, 0, 0)
