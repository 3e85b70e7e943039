"""Small instances, and the obvious ways that compiled loops are compared with."""

from __future__ import annotations

import random

from roam_lab.ir import Lifetime


def random_lives(seed: int, most: int = 60, steps: int = 30) -> tuple[Lifetime, ...]:
    """Up to `most` buffers, short and long ones, sizes in no common unit; some of 0 bytes."""
    draw = random.Random(seed)
    lives = []
    for storage in range(draw.randint(1, most)):
        start, length = draw.randint(0, steps), draw.randint(1, 4 if draw.random() < 0.6 else steps)
        lives.append(Lifetime(storage * 3, start, start + length, draw.randint(0, 40)))
    draw.shuffle(lives)
    return tuple(lives)


def taken(life: Lifetime, placed: dict[Lifetime, int]) -> list[tuple[int, int]]:
    """Ranges that are not free for `life`, joined, by address."""
    ranges: list[tuple[int, int]] = []
    together = (p for p in placed.items() if p[0].start < life.end and life.start < p[0].end)
    for low, high in sorted((low, low + other.bytes) for other, low in together):
        if ranges and low <= ranges[-1][1]:
            low, high = ranges[-1][0], max(high, ranges.pop()[1])
        ranges.append((low, high))
    return ranges


def gaps(life: Lifetime, placed: dict[Lifetime, int]) -> list[tuple[int, int]]:
    """Offset and bytes of each gap that `life` fits in, the one above all (None stands for 2**60 bytes) last."""
    found, reach = [], 0
    for low, high in taken(life, placed):
        if low - reach >= max(life.bytes, 1):
            found.append((reach, low - reach))
        reach = high
    return [*found, (reach, 1 << 60)]


def dense_lives(seed: int, tries: int = 3000, steps: int = 40, load: int = 1000) -> tuple[Lifetime, ...]:
    """About 180 buffers that fill almost every step up to `load` bytes: no heuristic gets near."""
    draw = random.Random(seed)
    live, lives = [0] * steps, list[Lifetime]()
    for _ in range(tries):
        start, size = draw.randrange(steps), draw.randint(1, load // 6)
        end = min(steps, start + 1 + int(draw.expovariate(0.12)))
        if max(live[start:end]) + size <= load:
            lives.append(Lifetime(len(lives), start, end, size))
            live[start:end] = [bytes_ + size for bytes_ in live[start:end]]
    return tuple(lives)
