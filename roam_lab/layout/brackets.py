"""Brackets: storages that live across the waist of a training step, stacked by lifetime, the longest lowest.

The *waist* is the step between forward and backward. A saved activation is made before it and used after it, the first
made being the last used, so the lifetimes nest like pairs of brackets.
"""

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
"""Sort keys, the lowest storage first: the one that dies last, that is created first, that lives longest. The three
agree where lifetimes nest."""


def waist(lifetimes: Sequence[Lifetime]) -> int:
    """The step at which the sum of bytes times length of life, over the storages alive, is greatest.

    Bytes are weighted by length of life because activations live long, while the live peak itself may consist of an
    optimizer's temporaries.
    """
    last = max((life.end for life in lifetimes), default=0)
    change = np.zeros(last + 1)
    for life in lifetimes:
        change[life.start] += float(life.bytes) * (life.end - life.start)
        change[life.end] -= float(life.bytes) * (life.end - life.start)
    return int(np.cumsum(change).argmax())


def stack(lifetimes: Sequence[Lifetime], stacking: Stacking) -> dict[int, int]:
    """Byte offsets of the storages that live at the waist: stacked from 0 upwards without a gap, sorted by
    `stacking`."""
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
    """Best fit of `sequence`, in that order, around the storages whose offsets are `fixed`. Returns the layout, or the
    first storage of `sequence` that would end above `limit_bytes`."""
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
