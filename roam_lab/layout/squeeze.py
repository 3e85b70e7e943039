"""Squeezing a layout under a limit: a storage that does not fit is placed first the next time."""

from __future__ import annotations

from roam_lab.ir import Layout, Lifetime, lifetimes_curve
from roam_lab.layout.best_fit import SORTINGS, place

SLACKS = (1 / 2048, 1 / 1024, 1 / 512, 1 / 128, 1 / 32)
"""Limits tried in turn, as fractions above the live peak; less than the first is not worth the time."""

TRIES = 32
"""How many times one sequence is changed under one limit."""


def squeezed(lifetimes: tuple[Lifetime, ...], layout: Layout, placements: int) -> Layout:
    """A smaller layout than `layout` if best fit finds one from sequences that are changed step by step, else `layout`.

    Under each limit, lowest first: place by a sorting; the first storage that does not fit moves to the front
    of the sequence, and placing starts again. (Squeaky-wheel optimization, Joslin and Clements 1999.)
    `placements`: how many storages may be placed in all; counted, so that the result does not depend on the machine.
    """
    floor = int(lifetimes_curve(lifetimes).max(initial=0))
    for slack in SLACKS:
        limit = floor + int(floor * slack)
        if limit >= layout.arena_bytes:
            break
        for sorting in tuple(SORTINGS.values())[:3]:
            sequence = sorted(lifetimes, key=sorting)
            for _ in range(TRIES):
                tried = place(sequence, limit)
                if isinstance(tried, Layout):
                    return tried
                at = sequence.index(tried)
                placements -= at + 1
                if placements < 0:
                    return layout
                sequence.insert(0, sequence.pop(at))
    return layout
