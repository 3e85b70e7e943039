"""Pairs of buffers that live at once: each costs an integer or constraint program one constraint or more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from roam_lab.ir import Lifetime


def overlapping_pairs(lifetimes: Sequence[Lifetime]) -> int:
    """How many pairs of buffers live at once, counted in O(n log n)."""
    starts = np.sort(np.array([life.start for life in lifetimes], np.int64))
    ends = np.sort(np.array([life.end for life in lifetimes], np.int64))
    # The buffer that starts k-th lives with those of the k before it that have not ended.
    return int((np.arange(len(starts)) - np.searchsorted(ends, starts, "right")).sum())


def pairs(lifetimes: Sequence[Lifetime]) -> Iterator[tuple[Lifetime, Lifetime]]:
    """Yields each pair of buffers that live at once, the one that starts first in front."""
    alive: list[Lifetime] = []
    for life in sorted(lifetimes, key=lambda life: (life.start, life.storage)):
        alive = [other for other in alive if other.end > life.start]
        for other in alive:
            yield other, life
        alive.append(life)
