"""Layout instances for tests: random ones, rectangles cut into buffers, and the least arena by trying everything."""

from __future__ import annotations

import random
from math import gcd
from pathlib import Path

from roam_lab.ir import Lifetime, lifetimes_curve

DATA = Path(__file__).parents[1] / "data"


def full_load(seed: int, buffers: int, height: int = 8, unit: int = 1) -> tuple[Lifetime, ...]:
    """At least `buffers` buffers, of which `height` units live at every step: whatever dies is replaced at once."""
    draw = random.Random(seed)
    live: list[tuple[int, int]] = []
    over: list[tuple[int, int, int]] = []
    step = 0
    while len(over) + len(live) < buffers:
        free = height - sum(size for _, size in live)
        while free:
            live.append((step, draw.randint(1, free)))
            free -= live[-1][1]
        step += 1
        if len(over) + len(live) < buffers:
            draw.shuffle(live)
            for _ in range(draw.choice((1, 1, 2))):
                if live:
                    start, size = live.pop()
                    over.append((start, step, size))
    over += [(start, step, size) for start, size in live]
    return tuple(Lifetime(index, start, end, size * unit) for index, (start, end, size) in enumerate(over))


WITHOUT_PERFECT_PACKING = full_load(347, 14)
"""Live bytes are 8 at every step, yet no layout takes fewer than 9 bytes."""


def cut_rectangle(seed: int, buffers: int, steps: int = 200, height: int = 1000) -> tuple[Lifetime, ...]:
    """A rectangle of `steps` by `height` bytes cut again and again: the parts fill it to the last byte."""
    draw = random.Random(seed)
    found = [(0, steps, 0, height)]
    while len(found) < buffers:
        found.sort(key=lambda part: ((part[1] - part[0]) * (part[3] - part[2]), part))
        start, end, low, high = part = found.pop()
        if draw.random() < 0.5 and end - start > 1:
            middle = draw.randint(start + 1, end - 1)
            found += [(start, middle, low, high), (middle, end, low, high)]
        elif high - low > 1:
            middle = draw.randint(low + 1, high - 1)
            found += [(start, end, low, middle), (start, end, middle, high)]
        else:
            found.append(part)
    draw.shuffle(found)
    return tuple(Lifetime(index, start, end, high - low) for index, (start, end, low, high) in enumerate(found))


def least_arena(lives: tuple[Lifetime, ...]) -> int:
    """The smallest arena of all layouts: every offset of every buffer is tried, by start, in ever higher arenas."""
    unit = gcd(*(life.bytes for life in lives))
    height = int(lifetimes_curve(lives).max()) // unit
    by_start = sorted(lives, key=lambda life: life.start)
    while not _fits([(life.start, life.end, life.bytes // unit) for life in by_start], height, []):
        height += 1
    return height * unit


def _fits(rest: list[tuple[int, int, int]], height: int, placed: list[tuple[int, int, int]]) -> bool:
    """Whether the rest, sorted by start, fits beside `placed` (end, low, high)."""
    if not rest:
        return True
    start, end, size = rest[0]
    placed = [other for other in placed if other[0] > start]
    for low in range(height - size + 1):
        free = all(low >= above or below >= low + size for _, below, above in placed)
        if free and _fits(rest[1:], height, [*placed, (end, low, low + size)]):
            return True
    return False
