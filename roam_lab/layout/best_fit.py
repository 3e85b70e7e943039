"""Best fit: place storages one by one, each into the smallest gap between the placed ones that live when it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from roam_lab.ir import Layout, Lifetime, lifetimes_curve
from roam_lab.layout.shelves import Array, Shelves
from roam_lab.registry import strategy

Sorting = Callable[[Lifetime], tuple[int, ...]]

SORTINGS: dict[str, Sorting] = {
    "decreasing area": lambda life: (-life.bytes * (life.end - life.start), life.start, life.storage),
    "decreasing size": lambda life: (-life.bytes, life.start - life.end, life.start, life.storage),
    "decreasing lifetime": lambda life: (life.start - life.end, -life.bytes, life.start, life.storage),
    "start": lambda life: (life.start, life.start - life.end, -life.bytes, life.storage),
}


def place(
    sequence: Sequence[Lifetime], limit_bytes: int | None = None, placed: Mapping[Lifetime, int] | None = None
) -> Layout | Lifetime:
    """Place in the given sequence, each in the smallest gap that fits, until one would end above `limit_bytes`.

    `placed`: storages that have their offsets already. Returns the layout of all, or the first storage of `sequence`
    that does not fit.
    """
    placed = placed or {}
    shelves = Shelves([*placed, *sequence])
    offsets: dict[int, int] = {}
    arena_bytes = 0

    def put(life: Lifetime, offset: int) -> None:
        nonlocal arena_bytes
        shelves.insert(life, offset)
        offsets[life.storage] = offset
        arena_bytes = max(arena_bytes, offset + life.bytes)

    for life, offset in placed.items():
        put(life, offset)
    for life in sequence:
        offset = smallest_gap(*shelves.taken(life), life.bytes)
        if limit_bytes is not None and offset + life.bytes > limit_bytes:
            return life
        put(life, offset)
    return Layout(offsets, arena_bytes)


def smallest_gap(lows: Array, highs: Array, size: int) -> int:
    """Offset of the smallest gap of at least `size` bytes between the taken ranges [low, high), sorted by low; where
    none is large enough, the offset above them all."""
    if not len(lows):
        return 0
    reach = np.maximum.accumulate(highs)
    gaps = lows.copy()
    gaps[1:] -= reach[:-1]
    fits = np.flatnonzero(gaps >= size)
    if not len(fits):
        return int(reach[-1])
    chosen = int(fits[gaps[fits].argmin()])
    return int(reach[chosen - 1]) if chosen else 0


@strategy("layout", "best_fit", source="greedy by size, best fit (TFLite, TVM, ExecuTorch; arXiv 2001.03288)")
def best_fit(lifetimes: tuple[Lifetime, ...]) -> Layout:
    """Best fit by decreasing area, size, lifetime and by start; the smallest arena is kept.

    Stops early within 1/4096 of the live peak, below which no arena can be; ties go to the earlier sorting.
    """
    floor = int(lifetimes_curve(lifetimes).max(initial=0))
    best = Layout({}, 0)
    for sorting in SORTINGS.values():
        layout = place(sorted(lifetimes, key=sorting), best.arena_bytes - 1 if best.offsets else None)
        if isinstance(layout, Layout):
            best = layout
        if best.arena_bytes <= floor + floor // 4096:
            break
    return best
