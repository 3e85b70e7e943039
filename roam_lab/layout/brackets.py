"""Brackets: lifetimes that cross the waist of a training step, stacked so that each pair lies on the one outside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from roam_lab.ir import Layout, Lifetime
from roam_lab.layout.best_fit import smallest_gap
from roam_lab.layout.shelves import Shelves

Stacking = Callable[[Lifetime], tuple[int, ...]]

STACKINGS: tuple[Stacking, ...] = (
    lambda life: (-life.end, life.start, life.storage),
    lambda life: (life.start, -life.end, life.storage),
    lambda life: (life.start - life.end, life.start, life.storage),
)
"""Lowest first: what dies last, what is born first, what lives longest. One and the same where lifetimes nest."""


def waist(lifetimes: Sequence[Lifetime]) -> int:
    """The step between forward and backward: crossed by the most bytes, each counted by how long it lives.

    Length weighs because activations live long; the peak itself may be an optimizer's temporaries.
    """
    last = max((life.end for life in lifetimes), default=0)
    change = np.zeros(last + 1)
    for life in lifetimes:
        change[life.start] += float(life.bytes) * (life.end - life.start)
        change[life.end] -= float(life.bytes) * (life.end - life.start)
    return int(np.cumsum(change).argmax())


def stack(lifetimes: Sequence[Lifetime], stacking: Stacking) -> dict[int, int]:
    """The offset of each storage that lives at the waist: from 0 upwards without a gap, outermost lowest."""
    step = waist(lifetimes)
    offsets: dict[int, int] = {}
    top = 0
    for life in sorted((life for life in lifetimes if life.start <= step < life.end), key=stacking):
        offsets[life.storage] = top
        top += life.bytes
    return offsets


def place_around(
    lifetimes: Sequence[Lifetime], fixed: Mapping[int, int], sequence: Sequence[Lifetime], limit_bytes: int | None
) -> Layout | Lifetime:
    """Best fit of `sequence`, in that order, around what is `fixed`; or the first that ends above the limit."""
    shelves = Shelves(lifetimes)
    offsets = dict(fixed)
    arena_bytes = 0
    for life in lifetimes:
        if life.storage in fixed:
            shelves.insert(life, fixed[life.storage])
            arena_bytes = max(arena_bytes, fixed[life.storage] + life.bytes)
    for life in sequence:
        offset = smallest_gap(*shelves.taken(life), life.bytes)
        if limit_bytes is not None and offset + life.bytes > limit_bytes:
            return life
        shelves.insert(life, offset)
        offsets[life.storage] = offset
        arena_bytes = max(arena_bytes, offset + life.bytes)
    return Layout(offsets, arena_bytes)
