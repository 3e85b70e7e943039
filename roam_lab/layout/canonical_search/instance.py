"""What the search works on: independent parts of an instance, their sections, and rankings of their buffers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import gcd

import numpy as np
from numpy.typing import NDArray

from roam_lab.ir import Lifetime

Array = NDArray[np.int64]

FIXED = 5
"""Rankings 0 to 4 are fixed, and solve most instances; later ones are random."""


def parts(lives: Sequence[Lifetime]) -> list[list[Lifetime]]:
    """Groups of buffers, by time, such that no buffer lives at one moment with a buffer of another group. Each group is
    laid out by itself."""
    found: list[list[Lifetime]] = []
    end = -1
    for life in sorted(lives, key=lambda life: (life.start, life.storage)):
        if life.start >= end:
            found.append([])
        found[-1].append(life)
        end = max(end, life.end)
    return found


def sections(lives: Sequence[Lifetime]) -> list[int]:
    """Moments, ascending, at which a maximal set of buffers lives: two buffers overlap if and only if they share one.

    Such a moment is a start that is followed by an end before the next start.
    """
    events = sorted({(life.end, 0) for life in lives} | {(life.start, 1) for life in lives})
    return [time for (time, starts), (_, next_starts) in pairwise(events) if starts > next_starts]


@dataclass(frozen=True)
class Part:
    """One group of buffers as arrays; sizes in units of their greatest common divisor."""

    lives: tuple[Lifetime, ...]

    @cached_property
    def unit(self) -> int:
        """The greatest common divisor of all sizes, in bytes."""
        return gcd(*(life.bytes for life in self.lives))

    @cached_property
    def sizes(self) -> Array:
        return np.array([life.bytes // self.unit for life in self.lives], np.int64)

    @cached_property
    def spans(self) -> tuple[Array, Array]:
        """For each buffer its first section, and the section after its last."""
        moments = sections(self.lives)
        lows = np.searchsorted(moments, [life.start for life in self.lives])
        highs = np.searchsorted(moments, [life.end for life in self.lives])
        return lows.astype(np.int64), highs.astype(np.int64)

    @cached_property
    def totals(self) -> Array:
        """The sum of sizes, in units, of each section."""
        lows, highs = self.spans
        change = np.zeros(int(highs.max()) + 1, np.int64)
        np.add.at(change, lows, self.sizes)
        np.subtract.at(change, highs, self.sizes)
        curve: Array = np.cumsum(change[:-1])
        return curve

    @cached_property
    def fullest(self) -> Array:
        """For each buffer the sum of sizes, in units, of its fullest section."""
        lows, highs = self.spans
        return np.array([self.totals[low:high].max() for low, high in zip(lows, highs, strict=True)], np.int64)

    def ranking(self, number: int, seed: int) -> tuple[Array, bool]:
        """Buffers in the sequence in which ranking `number` prefers them, and whether it sorts by fullest section
        first.

        The criteria are MiniMalloc's: fullest section, length of life, size. From `FIXED` on a ranking sorts by a
        product of powers of the three with random exponents, and sometimes noise: many short searches from different
        rankings solve instances that no long search solves.
        """
        lows, highs = self.spans
        steps = np.array([life.end - life.start for life in self.lives], np.int64)
        width, size, full = highs - lows, self.sizes, self.fullest
        if number < FIXED:
            keys = (
                (size, width, full),
                (width, width * size.astype(float), full),
                (size, steps, full),
                (full, size, width),
                (full, size, steps),
            )[number]
            return np.lexsort([-key for key in keys]), number < 3
        draw = random.Random(seed * 1_000_003 + number)
        fuller_first = draw.random() < 0.6
        by_full = 1000.0 if fuller_first else draw.choice((0.0, 1.0, 4.0))
        by_length, by_size, noise = 2 * draw.random(), 2 * draw.random(), draw.choice((0.0, 0.1, 0.3))
        length = draw.choice((width, steps))
        weight = by_full * np.log(full) + by_length * np.log(length) + by_size * np.log(size)
        weight += noise * np.array([draw.gauss(0, 1) for _ in self.lives])
        return np.argsort(-weight, kind="stable"), by_full > 0

    def ranking_by_failures(self, number: int, seed: int, failures: NDArray[np.float64]) -> Array:
        """A random ranking in which buffers of sections that often caused a failure come sooner.

        `failures`: a weight above 0 for each section. (The idea of weighted degrees of constraints, Boussemart et al.
        2004.)
        """
        lows, highs = self.spans
        draw = random.Random(seed * 1_000_003 + number)
        length = draw.choice((highs - lows, np.array([life.end - life.start for life in self.lives], np.int64)))
        of_buffer = draw.choice((np.max, np.mean))
        hard = np.array([of_buffer(failures[low:high]) for low, high in zip(lows, highs, strict=True)])
        by_length, by_size, noise = 2 * draw.random(), 2 * draw.random(), draw.choice((0.0, 0.1, 0.3))
        by_failures, by_full = draw.choice((0.3, 1.0, 3.0)), draw.choice((0.0, 1.0, 4.0))
        weight = by_failures * np.log(hard) + by_full * np.log(self.fullest)
        weight += by_length * np.log(length) + by_size * np.log(self.sizes)
        weight += noise * np.array([draw.gauss(0, 1) for _ in self.lives])
        return np.argsort(-weight, kind="stable")
