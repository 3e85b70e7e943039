"""The automatic layout: each row of its table."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from roam_lab.ir import Layout, Lifetime, check_layout, lifetimes_curve
from roam_lab.ir.layout_csv import load_instance
from roam_lab.layout import auto as module
from roam_lab.layout.auto import auto
from roam_lab.layout.best_fit import best_fit
from roam_lab.solvers import compiled
from tests.layout.instances import DATA, cut_rectangle, full_load, least_arena


def spied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What auto calls after best fit, in sequence."""
    called: list[str] = []
    for name in ("squeezed", "mended", "lowered"):
        real = getattr(module, name)

        def spy(*given: object, _name: str = name, _real=real, **named: object) -> Layout:  # type: ignore[no-untyped-def]
            called.append(_name)
            return _real(*given, **named)  # type: ignore[no-any-return]

        monkeypatch.setattr(module, name, spy)
    return called


def test_what_is_close_to_the_live_peak_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    called = spied(monkeypatch)
    lives = (Lifetime(0, 0, 3, 64), Lifetime(1, 1, 2, 128))
    assert auto(lives) == best_fit(lives)
    assert called == []


def test_a_capacity_that_is_met_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    called = spied(monkeypatch)
    lives = cut_rectangle(3, 60)
    height = best_fit(lives).arena_bytes
    assert height > 1000
    assert auto(lives, capacity=height) == best_fit(lives)
    assert called == []
    assert auto(lives, capacity=height - 1).arena_bytes < height
    assert called


def test_an_arena_that_is_close_enough_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    called = spied(monkeypatch)
    lives = cut_rectangle(3, 60)
    above = best_fit(lives).arena_bytes / lifetimes_curve(lives).max() - 1
    assert above > 0.01
    assert auto(lives, close=above + 1e-6) == best_fit(lives)
    assert called == []
    assert auto(lives, close=above / 2).arena_bytes <= (1 + above / 2) * lifetimes_curve(lives).max()
    assert called


def test_hard_instances_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    called = spied(monkeypatch)
    monkeypatch.setattr(module, "MENDING", 0)
    instance = load_instance(DATA / "B.1048576.csv")
    for capacity in (None, 1_048_576):
        layout = auto(instance.problem, capacity)
        check_layout(instance.problem, layout)
        assert layout.arena_bytes == 1_048_576
    assert "lowered" in called


@pytest.mark.parametrize("seed", range(30))
def test_the_least_arena_of_small_instances(seed: int) -> None:
    lives = full_load(seed, 4 + seed % 8)
    assert auto(lives).arena_bytes == least_arena(lives)


@pytest.mark.parametrize("seed", range(10))
def test_never_above_best_fit_and_repeatable(seed: int) -> None:
    lives = cut_rectangle(seed, 20)
    layout = auto(lives)
    check_layout(lives, layout)
    assert lifetimes_curve(lives).max() <= layout.arena_bytes <= best_fit(lives).arena_bytes
    assert auto(lives) == layout


def test_a_capacity_below_the_live_peak_is_as_none() -> None:
    lives = cut_rectangle(4, 20)
    assert auto(lives, capacity=10) == auto(lives)


def test_it_works_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "available", lambda: False)
    monkeypatch.setattr(module, "WORK", 10**9)
    lives = cut_rectangle(3, 30)
    layout = auto(lives)
    check_layout(lives, layout)
    assert layout.arena_bytes <= best_fit(lives).arena_bytes


@pytest.mark.parametrize("many", [10, 10_000])
def test_it_stops_at_its_time_limit(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MANY", many)
    lives = cut_rectangle(1, 300, 2000, 10**6)
    auto(lives, time_limit=0.1)  # compiled
    began = time.perf_counter()
    check_layout(lives, auto(lives, time_limit=0.5))
    assert time.perf_counter() - began < 5


def test_training_steps_do_without_numba() -> None:
    code = """
import sys
from roam_lab.ir import captured_order, lifetimes
from roam_lab.layout.auto import auto
from tests.plan.training_step import training_step
graph = training_step(6)
auto(lifetimes(graph, captured_order(graph)))
print("numba" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
