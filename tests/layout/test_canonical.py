"""The exact search finds the least arena where everything can be tried, and perfect packings where one exists."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from roam_lab.app.session import Session
from roam_lab.errors import InfeasibleError
from roam_lab.ir import Lifetime, check_layout, lifetimes_curve
from roam_lab.ir.layout_csv import load_instance
from roam_lab.layout import canonical as module
from roam_lab.layout.best_fit import best_fit
from roam_lab.layout.canonical import canonical
from roam_lab.layout.canonical_search import kernel
from roam_lab.solvers import compiled
from tests.layout.instances import DATA, WITHOUT_PERFECT_PACKING, cut_rectangle, full_load, least_arena


@pytest.fixture
def without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "available", lambda: False)
    for name in ("place", "take_back", "ceiling", "choose", "known", "rank_anew", "leave", "search"):
        again = compiled.compiled(getattr(kernel, name).function)  # type: ignore[attr-defined]
        monkeypatch.setattr(kernel, name, again)


@pytest.mark.parametrize("seed", range(100))
def test_the_least_arena_of_small_instances(seed: int) -> None:
    lives = full_load(seed, 4 + seed % 10, unit=1 if seed % 2 else 64)
    layout = canonical(lives)
    check_layout(lives, layout)
    assert layout.arena_bytes == least_arena(lives)


def test_best_fit_alone_would_not_do() -> None:
    instances = [full_load(seed, 18) for seed in range(50)]
    assert sum(best_fit(lives).arena_bytes > canonical(lives).arena_bytes for lives in instances) > 10


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("buffers", [12, 25, 40])
def test_perfect_packings_are_found(buffers: int, seed: int) -> None:
    lives = cut_rectangle(seed, buffers)
    layout = canonical(lives, capacity=1000)
    check_layout(lives, layout)
    assert layout.arena_bytes == 1000


@pytest.mark.usefixtures("without_numba")
@pytest.mark.parametrize("seed", range(8))
def test_the_same_without_numba(seed: int) -> None:
    lives = full_load(seed, 4 + seed % 8)
    assert canonical(lives).arena_bytes == least_arena(lives)
    perfect = cut_rectangle(seed, 12)
    layout = canonical(perfect)
    check_layout(perfect, layout)
    assert layout.arena_bytes == 1000


@pytest.mark.parametrize("seed", range(5))
def test_with_and_without_numba_agree(seed: int, request: pytest.FixtureRequest) -> None:
    lives = cut_rectangle(seed, 15)
    first = canonical(lives, nodes=100_000)
    request.getfixturevalue("without_numba")
    assert canonical(lives, nodes=100_000 * 200) == first


def test_minimalloc_instances() -> None:
    for name in ("A", "B"):
        instance = load_instance(DATA / f"{name}.1048576.csv")
        layout = canonical(instance.problem, capacity=1_048_576)
        check_layout(instance.problem, layout)
        assert layout.arena_bytes == 1_048_576
        assert canonical(instance.problem, capacity=1_048_576) == layout


def test_an_impossible_capacity_is_told() -> None:
    lives = WITHOUT_PERFECT_PACKING
    assert lifetimes_curve(lives).max() == 8
    assert canonical(lives).arena_bytes == canonical(lives, capacity=8).arena_bytes == least_arena(lives) == 9
    with pytest.raises(InfeasibleError, match="too small"):
        Session().lay_out(str(DATA / "B.1048576.csv"), "canonical", capacity=1_000_000, time_limit=0.5)


def test_no_effort_leaves_best_fit() -> None:
    lives = cut_rectangle(3, 60)
    assert best_fit(lives).arena_bytes > 1000
    assert canonical(lives, nodes=0) == best_fit(lives)
    assert canonical(lives, time_limit=0.0) == best_fit(lives)


def test_it_stops_at_its_time_limit() -> None:
    lives = cut_rectangle(1, 400, 2000, 10**6)
    canonical(lives, nodes=1)  # compiled
    began = time.perf_counter()
    check_layout(lives, canonical(lives, time_limit=0.5))
    assert time.perf_counter() - began < 5


def test_very_many_buffers_are_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    from roam_lab.layout.canonical_search import capacity

    monkeypatch.setattr(capacity, "MOST_BUFFERS", 39)
    lives = cut_rectangle(0, 40)
    assert canonical(lives) == best_fit(lives)


def test_sizes_that_overflow_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORK", 10**7)
    huge = tuple(replace(life, bytes=life.bytes * 2**49 + 1) for life in cut_rectangle(2, 20))
    layout = canonical(huge)
    check_layout(huge, layout)
    assert layout.arena_bytes <= best_fit(huge).arena_bytes


def test_nothing_and_one() -> None:
    assert canonical(()).arena_bytes == 0
    assert canonical((Lifetime(7, 2, 3, 5),)).offsets == {7: 0}
