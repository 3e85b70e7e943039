"""Holes: parts of the arena on the CPU whose memory is given up while ops hold as much of their own.

An external storage, which its op allocates, has an offset, too: the plan keeps that part of the arena free while the
storage lives. The pages there are returned to the system, which supplies empty ones when the arena is written again.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from roam_lab.ir import Graph, lifetimes
from roam_lab.runtime.heap import function_of_c

LEAST_BYTES = 2**20
"""Smaller parts are not given up: the system call would cost more than it saves."""
TOLERANCE = 0.01
"""The fraction of the plan by which memory may exceed it before parts of the arena are given up, as that costs time."""

Range = tuple[int, int]
"""[start, end) in bytes of the arena."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the program does before an op. `holes`: the ranges of the arena to give up now. `need`: bytes that the op
    allocates; `live`: bytes of other live external storages; `absent`: bytes of the arena that are given up by then,
    `holes` included."""

    need: int
    live: int
    absent: int = 0
    holes: tuple[Range, ...] = ()


def requests(
    graph: Graph, order: Sequence[int], offsets: Mapping[int, int], own: int, planned: int
) -> dict[int, Request]:
    """Step of the order -> the request before its op, where there is one.

    `own`: bytes of the arena, all of which are in memory when the step begins; `planned`: bytes that arena and ops may
    hold together. Parts are given up for live external storages, the latest first, as many as are needed.
    """
    starts: dict[int, list[int]] = {}
    ends: dict[int, list[int]] = {}
    for life in lifetimes(graph, order):
        starts.setdefault(life.start, []).append(life.storage)
        ends.setdefault(life.end, []).append(life.storage)
    limit = planned + int(planned * TOLERANCE)
    requested: dict[int, Request] = {}
    alive: dict[int, int] = {}
    absent: list[Range] = []
    for step in range(len(order)):
        for storage in ends.get(step, ()):
            alive.pop(storage, None)
        before, need = sum(alive.values()), 0
        for storage in starts.get(step, ()):
            size, offset = graph.storages[storage].bytes, offsets.get(storage, 0)
            if graph.storages[storage].external:
                alive[storage] = size
                need += size
            else:
                absent = _without(absent, (offset, offset + size))
        holes: list[Range] = []
        for storage in reversed(alive):
            if own - _total(absent) + sum(alive.values()) <= limit:
                break
            place = _inside(offsets.get(storage, own), alive[storage], own)
            rest = [*_without(absent, place), place]
            if _total(rest) - _total(absent) >= LEAST_BYTES:
                holes.append(place)
                absent = rest
        if need >= LEAST_BYTES or holes:
            requested[step] = Request(need, before, _total(absent), tuple(holes))
    return requested


def give_up(address: int, holes: Sequence[Range]) -> None:
    """Return the pages of these ranges of the arena at `address` to the system; their contents are lost."""
    madvise = function_of_c("madvise")
    if madvise is None or not hasattr(mmap, "MADV_DONTNEED"):
        return
    for start, end in holes:
        first = -(-(address + start) // mmap.PAGESIZE) * mmap.PAGESIZE
        last = (address + end) // mmap.PAGESIZE * mmap.PAGESIZE
        if last > first:
            madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), mmap.MADV_DONTNEED)


def _inside(offset: int, size: int, own: int) -> Range:
    return min(offset, own), min(offset + size, own)


def _total(ranges: Sequence[Range]) -> int:
    return sum(high - low for low, high in ranges)


def _without(ranges: list[Range], taken: Range) -> list[Range]:
    """Disjoint ranges without the part `taken`."""
    low, high = taken
    left = []
    for start, end in ranges:
        if end <= low or start >= high:
            left.append((start, end))
            continue
        if start < low:
            left.append((start, low))
        if end > high:
            left.append((high, end))
    return left
