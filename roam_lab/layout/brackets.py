"""Brackets: storages that live across the waist of a training step, stacked by lifetime, the longest lowest.

The *waist* is the step between forward and backward. A saved activation is made before it and used after it, the first
made being the last used, so the lifetimes nest like pairs of brackets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from roam_lab.ir import Lifetime

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


def stack(lifetimes: Sequence[Lifetime], stacking: Stacking) -> dict[Lifetime, int]:
    """Byte offsets of the storages that live at the waist: stacked from 0 upwards without a gap, sorted by
    `stacking`."""
    step = waist(lifetimes)
    offsets: dict[Lifetime, int] = {}
    top = 0
    for life in sorted((life for life in lifetimes if life.start <= step < life.end), key=stacking):
        offsets[life] = top
        top += life.bytes
    return offsets
