"""CP-SAT: the least arena on small instances, and what stops it."""

from __future__ import annotations

import time

import pytest

from roam_lab.ir import Layout, Lifetime, check_layout, lifetimes_curve
from roam_lab.layout import cp_sat as module
from roam_lab.layout.best_fit import best_fit
from roam_lab.layout.cp_sat import _Model, cp_sat
from roam_lab.layout.llfb import llfb
from tests.layout.packing.lives import dense_lives, random_lives


def floor_bytes(lives: tuple[Lifetime, ...]) -> int:
    return int(lifetimes_curve(lives).max(initial=0))


HARD = [lives for lives in map(random_lives, range(60)) if best_fit(lives).arena_bytes > floor_bytes(lives)][:5]
"""Small ones on which best fit leaves gaps."""


def test_small_instances_end_at_their_live_peak() -> None:
    assert len(HARD) == 5
    for lives in HARD:
        layout = cp_sat(lives, time_limit=20.0)
        check_layout(lives, layout)
        assert layout.arena_bytes == floor_bytes(lives)


def test_the_model_minimises_from_a_hint_and_knows_what_is_impossible() -> None:
    for lives in HARD[:3]:
        hint, model = best_fit(lives), _Model(lives, 1, 1, 0)
        least = model.solved(hint.arena_bytes, hint, 20.0)
        assert least is not None
        check_layout(lives, least)
        assert least.arena_bytes == floor_bytes(lives)
        assert model.solved(floor_bytes(lives) - 1, None, 20.0) is None
        assert model.solved(floor_bytes(lives), None, 0.0) is None


def test_sizes_are_divided_by_their_common_divisor() -> None:
    lives = tuple(Lifetime(life.storage, life.start, life.end, life.bytes << 33) for life in HARD[0])
    layout = cp_sat(lives, time_limit=20.0)
    check_layout(lives, layout)
    assert layout.arena_bytes == floor_bytes(lives)


def test_capacity_is_met_and_no_more() -> None:
    lives = HARD[0]
    best = best_fit(lives)
    assert cp_sat(lives, capacity=best.arena_bytes) == best
    assert floor_bytes(lives) <= cp_sat(lives, capacity=best.arena_bytes - 1).arena_bytes < best.arena_bytes


def test_it_stops_at_its_time_limit_with_the_best_found() -> None:
    lives = dense_lives(0)
    assert cp_sat(lives, time_limit=0.0) == best_fit(lives)
    began = time.perf_counter()
    layout = cp_sat(lives, time_limit=1.0)
    assert time.perf_counter() - began < 15
    check_layout(lives, layout)
    assert layout.arena_bytes <= best_fit(lives).arena_bytes


def test_what_is_too_large_is_not_modelled(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = (*HARD[0], Lifetime(10**6, 0, 1, 2**60 + 1))
    assert cp_sat(wide) == llfb(wide)
    monkeypatch.setattr(module, "MOST_PAIRS", 10)
    assert cp_sat(HARD[0]) == llfb(HARD[0])


def test_nothing_and_buffers_without_bytes() -> None:
    assert cp_sat(()) == Layout({}, 0)
    assert cp_sat((Lifetime(0, 0, 2, 0), Lifetime(1, 0, 1, 0))).arena_bytes == 0
    lives = (*HARD[0], Lifetime(10**6, 0, 30, 0))
    layout = _Model(lives, 1, 1, 0).solved(best_fit(lives).arena_bytes, best_fit(lives), 20.0)
    assert layout is not None
    check_layout(lives, layout)
