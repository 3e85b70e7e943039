"""Mending a layout: place all storages again and again, those earlier that ended too high the last time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roam_lab.ir import Layout, Lifetime, lifetimes_curve, live_bytes
from roam_lab.layout.packing.climb import climbed
from roam_lab.layout.packing.field import Array, Field

_FRONT_ROUNDS = 3
_FEW = 1 / 16


def mended(
    lifetimes: Sequence[Lifetime],
    layout: Layout,
    effort: int,
    deadline: float | None = None,
    seed: int = 0,
    target_bytes: int = 0,
) -> Layout:
    """A smaller layout than `layout` if one is found, else `layout`. Made for very many storages.

    Several sequences are tried. Half of them place a *pyramid* first: all storages that live at a moment of the live
    peak, the longest lifetime lowest, so that no byte is lost at that moment; the others are placed around it. Where
    few storages end above the live peak, those go to the front of the sequence (behind the pyramid) and all are placed
    again. (Squeaky-wheel optimization, Joslin and Clements 1999.) The effort that is left goes into `climbed`.

    `effort`: how many storages may be placed in all (1 to 40 microseconds each, compiled); counted, so that the result
    does not depend on the machine. `deadline`: when to stop whatever the count (time.perf_counter; None: no limit).
    `target_bytes`: stop at an arena of this many bytes or fewer; it always stops at the live peak.
    """
    target = max(target_bytes, int(lifetimes_curve(lifetimes).max(initial=0)))
    if layout.arena_bytes <= target:
        return layout
    bench = _Bench(Field.of(lifetimes), target, layout.arena_bytes, effort, deadline)
    for first_fit in (True, False):
        for sequence, pyramid in _sequences(bench.field):
            bench.mend_at_front(sequence, pyramid, first_fit)
    if bench.best is not None:
        layout = bench.field.layout(bench.best)
    return climbed(lifetimes, layout, bench.effort, deadline, seed, target_bytes) if bench.open else layout


def _sequences(field: Field) -> Iterator[tuple[Array, int]]:
    """The first sequences: by decreasing size, area and lifetime, each with the pyramid in front and without. Yields
    (sequence, number of storages of its pyramid)."""
    lengths = field.ends - field.starts
    for rank in (field.sizes, field.sizes.astype(float) * lengths, lengths):
        for base in (_at_the_peak(field), np.zeros(len(lengths), bool)):
            keys = (field.storages, field.starts, -lengths, np.where(base, -lengths, -rank), ~base)
            yield np.lexsort(keys), int(base.sum())


def _at_the_peak(field: Field) -> NDArray[np.bool_]:
    """For each storage whether it lives at a moment of the live peak."""
    curve = live_bytes(field.starts, field.ends, field.sizes, int(field.ends.max(initial=0)))
    peaks = np.concatenate([[0], np.cumsum(curve == curve.max(initial=0))])
    return np.asarray(peaks[field.ends] > peaks[field.starts])


@dataclass(slots=True)
class _Bench:
    """Where sequences are tried: the field, the best offsets so far, and what may still be spent."""

    field: Field
    target: int
    best_bytes: int
    effort: int
    deadline: float | None
    best: Array | None = None

    @property
    def open(self) -> bool:
        """Whether the best arena is above the target, and effort and time are left."""
        in_time = self.deadline is None or time.perf_counter() < self.deadline
        return in_time and self.effort > 0 and self.best_bytes > self.target

    def highs(self, sequence: Array, first_fit: bool) -> Array | None:
        """Place `sequence`, and keep the layout if it is the best. Returns where each storage ends, in bytes; None if
        effort or time ran out."""
        if not self.open:
            return None
        self.effort -= len(sequence)
        offsets = self.field.place_all(sequence, first_fit, self.deadline)
        if offsets is None:
            return None
        highs: Array = offsets + self.field.sizes
        if highs.max() < self.best_bytes:
            self.best, self.best_bytes = offsets, int(highs.max())
        return highs

    def mend_at_front(self, sequence: Array, pyramid: int, first_fit: bool) -> None:
        """Place `sequence`; while only few storages end above the target, move those to the front, behind the first
        `pyramid` ones, and place again."""
        for _ in range(_FRONT_ROUNDS):
            highs = self.highs(sequence, first_fit)
            if highs is None:
                return
            late = (highs > self.target)[sequence]
            if late.sum() > _FEW * len(late):
                return
            late[:pyramid] = True
            sequence = np.concatenate([sequence[late], sequence[~late]])
