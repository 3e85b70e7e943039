"""PyTorch's CUDA caching allocator as a layout strategy: the addresses that it would give to a step's storages."""

from __future__ import annotations

from collections.abc import Sequence

from roam_lab.ir import Graph, Layout, Lifetime, lifetimes
from roam_lab.layout.caching.allocator import CachingAllocator
from roam_lab.layout.caching.blocks import Block
from roam_lab.registry import strategy


@strategy(
    "layout", "caching_allocator", source="c10/cuda/CUDACachingAllocator.cpp, PyTorch: its sizes, splits and merges"
)
def caching_allocator(lifetimes: tuple[Lifetime, ...]) -> Layout:
    """PyTorch's CUDA caching allocator simulated: a baseline; its arena is the bytes that would be reserved.

    Requests are rounded to 512 bytes; up to 1 MiB they come from segments of 2 MiB, below 10 MiB from segments
    of 20 MiB, above from segments of their own rounded to 2 MiB. Best fit; a block is split if the rest is at least
    512 bytes (small) or above 1 MiB (large); neighbours merge when freed; segments are never given back.
    """
    allocator = CachingAllocator()
    offsets: dict[int, int] = {}
    held: dict[int, Block] = {}
    # What ended before a step is freed before the step allocates.
    events = [(life.start, 1, life) for life in lifetimes] + [(life.end, 0, life) for life in lifetimes]
    for _, allocates, life in sorted(events, key=lambda event: (event[0], event[1], event[2].storage)):
        if allocates:
            held[life.storage] = block = allocator.allocate(max(life.bytes, 1))
            offsets[life.storage] = block.address
        else:
            allocator.free(held.pop(life.storage))
    return Layout(offsets, allocator.reserved.peak)


def reserved_bytes(graph: Graph, order: Sequence[int]) -> int:
    """Bytes that PyTorch's caching allocator would reserve for the storages of `order` (simulated)."""
    return caching_allocator(lifetimes(graph, order)).arena_bytes
