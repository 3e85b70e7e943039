"""MODeL's integer program: the least arena on small instances, the pyramid, and what stops it."""

from __future__ import annotations

import time

import pytest

from roam_lab.ir import Layout, Lifetime, check_layout, lifetimes_curve
from roam_lab.layout import model_ilp as module
from roam_lab.layout.llfb import llfb
from roam_lab.layout.model_ilp import _around, _solved, _stacked, model_ilp, pyramid
from roam_lab.layout.skyline import skyline
from roam_lab.solvers.ilp import SOLVERS
from tests.layout.packing.lives import dense_lives, random_lives

MIB = 1 << 20


def floor_bytes(lives: tuple[Lifetime, ...]) -> int:
    return int(lifetimes_curve(lives).max(initial=0))


def around(lives: tuple[Lifetime, ...]) -> Layout:
    layout = _around(lives, pyramid(lives), None)
    assert layout is not None
    return layout


SMALL = [lives for seed in range(400) if around(lives := random_lives(seed, 12, 12)).arena_bytes > floor_bytes(lives)][
    :4
]
"""Small ones on which best fit around the pyramid leaves gaps."""


def test_the_pyramid_nests_longest_lifetime_lowest() -> None:
    lives = (
        Lifetime(0, 2, 5, 3),
        Lifetime(1, 0, 9, 4),
        Lifetime(2, 1, 8, 5),
        Lifetime(3, 0, 6, 7),
        Lifetime(4, 3, 4, 9),
    )
    assert {life.storage: low for life, low in pyramid(lives).items()} == {1: 0, 2: 4, 0: 9, 4: 12}
    assert pyramid(()) == {}
    for seed in range(30):
        lives = random_lives(seed)
        layout = around(lives)
        check_layout(lives, layout)
        assert all(layout.offsets[life.storage] == low for life, low in pyramid(lives).items())


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_program_finds_the_least_arena_around_the_pyramid(solver: str) -> None:
    assert len(SMALL) == 4
    for lives in SMALL:
        lives = tuple(Lifetime(life.storage, life.start, life.end, life.bytes * MIB) for life in lives)
        base, start = pyramid(lives), around(lives)
        solved = _solved(lives, base, start, floor_bytes(lives), None, solver, 0)
        assert solved is not None
        check_layout(lives, solved)
        assert floor_bytes(lives) <= solved.arena_bytes < start.arena_bytes
        assert all(solved.offsets[life.storage] == low for life, low in base.items())
        again = _solved(lives, base, solved, floor_bytes(lives), None, solver, 0)
        assert again is not None
        assert again.arena_bytes == solved.arena_bytes


def test_offsets_come_from_the_vertical_order_not_from_the_levels() -> None:
    lives = (Lifetime(0, 0, 4, 8), Lifetime(1, 0, 2, 4), Lifetime(2, 1, 3, 4), Lifetime(3, 2, 4, 4))
    levels = {1: 11.9999, 2: 8.00001, 3: 12.1}  # a solver's tolerance, and a gap
    layout = _stacked(lives, {lives[0]: 0}, levels)
    assert layout == Layout({0: 0, 2: 8, 1: 12, 3: 12}, 16)


def test_it_is_no_worse_than_where_it_begins() -> None:
    for seed in range(12):
        lives = random_lives(seed, 20)
        layout = model_ilp(lives, time_limit=2.0)
        check_layout(lives, layout)
        assert layout.arena_bytes <= min(around(lives).arena_bytes, llfb(lives).arena_bytes)
        assert model_ilp(lives, capacity=10**9).arena_bytes >= layout.arena_bytes


def test_the_program_is_what_lowers_the_arena(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "skyline", lambda lives, **_: around(lives))
    for lives in SMALL[:2]:
        assert model_ilp(lives).arena_bytes < around(lives).arena_bytes
        assert model_ilp(lives, capacity=around(lives).arena_bytes) == around(lives)
    monkeypatch.setattr(module, "MOST_PAIRS", 0)
    assert model_ilp(SMALL[0]) == around(SMALL[0])


def test_it_stops_at_its_time_limit_with_the_best_found() -> None:
    lives = dense_lives(0)
    assert model_ilp(lives, time_limit=0.0).arena_bytes == skyline(lives, time_limit=0.0).arena_bytes
    began = time.perf_counter()
    layout = model_ilp(lives, time_limit=1.5)
    assert time.perf_counter() - began < 15
    check_layout(lives, layout)
    assert layout.arena_bytes <= around(lives).arena_bytes


def test_nothing_and_one_tensor() -> None:
    assert model_ilp(()) == Layout({}, 0)
    assert model_ilp((Lifetime(7, 3, 4, 5),)) == Layout({7: 0}, 5)
