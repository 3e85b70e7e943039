"""The layouts that others use, against the obvious way to write each."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from roam_lab.ir import Layout, Lifetime, check_layout, lifetimes_curve
from roam_lab.layout.greedy_by_size import greedy_by_size
from roam_lab.layout.hill_climb import hill_climb
from roam_lab.layout.llfb import llfb
from roam_lab.layout.packing import skyline as module
from roam_lab.layout.packing.skyline import Skyline
from roam_lab.layout.skyline import skyline
from tests.layout.packing.lives import gaps, random_lives

Lives = tuple[Lifetime, ...]


def sized_lives(seed: int) -> Lives:
    return tuple(life for life in random_lives(seed) if life.bytes)


def together(life: Lifetime, others: Lives) -> list[Lifetime]:
    return [other for other in others if other != life and other.start < life.end and life.start < other.end]


def as_tflite(lives: Lives) -> dict[int, int]:
    placed: dict[Lifetime, int] = {}
    for life in sorted(lives, key=lambda life: (-life.bytes, life.start, life.end, life.storage)):
        placed[life] = min(gaps(life, placed), key=lambda gap: gap[1])[0]
    return {life.storage: low for life, low in placed.items()}


def as_tvm(lives: Lives) -> dict[int, int]:
    def key(life: Lifetime) -> tuple[int, ...]:
        return (-life.bytes, -len(together(life, lives)), life.start, life.end, life.storage)

    placed: dict[Lifetime, int] = {}
    for life in sorted(lives, key=key):
        placed[life] = max((placed[other] + other.bytes for other in together(life, tuple(placed))), default=0)
    return {life.storage: low for life, low in placed.items()}


def as_executorch(lives: Lives) -> dict[int, int]:
    objects: list[dict[Lifetime, int]] = []  # the first of each gave it its size
    for life in sorted(lives, key=lambda life: (-life.bytes, life.start, life.end, life.storage)):
        for shared in objects:
            if not together(life, tuple(shared)):
                shared[life] = 0
                break
        else:
            for shared in objects:
                top = max(shared[other] + other.bytes for other in together(life, tuple(shared)))
                if top + life.bytes <= next(iter(shared)).bytes:
                    shared[life] = top
                    break
            else:
                objects.append({life: 0})
    offsets, base = {}, 0
    for shared in objects:
        offsets.update({life.storage: base + low for life, low in shared.items()})
        base += next(iter(shared)).bytes
    return offsets


@pytest.mark.parametrize(("as_in", "obvious"), [("tflite", as_tflite), ("tvm", as_tvm), ("executorch", as_executorch)])
def test_greedy_by_size_places_as_the_three_do(as_in: str, obvious: Callable[[Lives], dict[int, int]]) -> None:
    differ = 0
    for seed in range(60):
        lives = sized_lives(seed)
        layout = greedy_by_size(lives, as_in)
        check_layout(lives, layout)
        assert layout.offsets == obvious(lives), seed
        assert layout.arena_bytes == max(layout.offsets[life.storage] + life.bytes for life in lives)
        differ += layout.offsets != greedy_by_size(lives, "tflite" if as_in != "tflite" else "tvm").offsets
    assert differ > 30


def on_steps(lives: Lives, ranked: list[Lifetime], walls: bool) -> dict[int, int]:
    """Best fit on a skyline kept step by step, over all moments at which something begins or ends."""
    moments = sorted({life.start for life in lives} | {life.end for life in lives})
    heights = [0] * (len(moments) - 1)
    left, offsets = list(ranked), {}
    while left:
        low = min(heights)
        first = last = heights.index(low)
        while last < len(heights) and heights[last] == low:
            last += 1
        begin, end = moments[first], moments[last]
        inside = [life for life in left if begin <= life.start and life.end <= end]
        if not inside:
            around = [heights[at] for at in (first - 1, last) if 0 <= at < len(heights)]
            heights[first:last] = [min(around)] * (last - first)
            continue
        if walls:
            inside.sort(key=lambda life: -((life.start == begin) + (life.end == end)))
        life = inside[0]
        left.remove(life)
        offsets[life.storage] = low
        for at, moment in enumerate(moments[:-1]):
            if life.start <= moment < life.end:
                heights[at] += life.bytes
    return offsets


def scattered(life: Lifetime) -> tuple[int, ...]:
    return (life.bytes * 7 % 11, life.storage)


@pytest.mark.parametrize("at_once", [1, 3, 2048])
@pytest.mark.parametrize("walls", [False, True])
def test_the_skyline_is_that_of_the_steps(walls: bool, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    for seed in range(80):
        lives = random_lives(seed)
        line = Skyline(lives)
        offsets = line.lay(line.ranked(scattered), walls)
        assert offsets is not None
        layout = line.layout(offsets)
        check_layout(lives, layout)
        assert layout.offsets == on_steps(lives, sorted(lives, key=scattered), walls), seed
        assert line.lay(line.ranked(scattered), walls, deadline=time.perf_counter()) is None


def test_llfb_takes_the_longest_lifetime_first() -> None:
    for seed in range(60):
        lives = random_lives(seed)
        ranked = sorted(lives, key=lambda life: (life.start - life.end, -life.bytes, life.start, life.storage))
        assert llfb(lives).offsets == on_steps(lives, ranked, False)


def test_the_skyline_strategy_is_never_worse_than_llfb_and_climbs() -> None:
    arenas = dict.fromkeys((1, 8, 300), 0)
    for seed in range(60):
        lives = random_lives(seed)
        for tries in arenas:
            layout = skyline(lives, tries=tries)
            check_layout(lives, layout)
            assert lifetimes_curve(lives).max() <= layout.arena_bytes <= llfb(lives).arena_bytes
            assert layout == skyline(lives, tries=tries)
            arenas[tries] += layout.arena_bytes
        assert skyline(lives, time_limit=0.0) == llfb(lives)
        assert skyline(lives, capacity=llfb(lives).arena_bytes) == llfb(lives)
    assert arenas[1] > arenas[8] > arenas[300]


def test_hill_climbing_begins_with_first_fit_by_size_and_climbs() -> None:
    climbed = 0
    for seed in range(30):
        lives = sized_lives(seed)
        placed: dict[Lifetime, int] = {}
        for life in sorted(lives, key=lambda life: (-life.bytes, -len(together(life, lives)), -life.storage)):
            placed[life] = gaps(life, placed)[0][0]
        first = hill_climb(lives, tries=1)
        assert first.offsets == {life.storage: low for life, low in placed.items()}
        best = hill_climb(lives, tries=200)
        check_layout(lives, best)
        assert best.arena_bytes <= first.arena_bytes
        assert best == hill_climb(lives, tries=200)
        climbed += best.arena_bytes < first.arena_bytes
    assert climbed > 8


def test_hill_climbing_stops_at_its_limits() -> None:
    lives = next(
        lives
        for lives in map(sized_lives, range(99))
        if hill_climb(lives, tries=1).arena_bytes > hill_climb(lives).arena_bytes > lifetimes_curve(lives).max()
    )
    first = hill_climb(lives, tries=1)
    assert hill_climb(lives, time_limit=0.0) == first
    assert hill_climb(lives, capacity=first.arena_bytes) == first
    assert len({hill_climb(lives, tries=30, seed=seed).arena_bytes for seed in range(20)}) > 1


@pytest.mark.parametrize("strategy", [greedy_by_size, llfb, skyline, hill_climb])
def test_nothing_and_one_buffer(strategy: Callable[[Lives], Layout]) -> None:
    assert strategy(()) == Layout({}, 0)
    assert strategy((Lifetime(7, 3, 4, 5),)) == Layout({7: 0}, 5)
