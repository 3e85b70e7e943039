"""Mending: legal, repeatable, never worse, and at the live peak on training steps."""

from __future__ import annotations

import time

import numpy as np
import pytest

from roam_lab.ir import Layout, Lifetime, captured_order, check_layout, lifetimes, lifetimes_curve
from roam_lab.ir.layout_csv import load_instance
from roam_lab.layout.best_fit import SORTINGS, place
from roam_lab.layout.packing import mend
from roam_lab.layout.packing.field import Field
from roam_lab.layout.packing.mend import _Bench, _sequences, mended
from tests.captured import SHARED
from tests.layout.packing.lives import dense_lives, random_lives
from tests.plan.training_step import training_step

TALL = Layout({}, 1 << 60)
PANGU = SHARED / "layouts" / "somas_pangu_2.6B.csv.gz"


def floor_bytes(lives: tuple[Lifetime, ...]) -> int:
    return int(lifetimes_curve(lives).max(initial=0))


def first_layout(lives: tuple[Lifetime, ...]) -> Layout:
    layout = place(sorted(lives, key=SORTINGS["start"]))
    assert isinstance(layout, Layout)
    return layout


def test_never_worse_mostly_better_and_repeatable() -> None:
    better = 0
    for seed in range(40):
        lives = random_lives(seed)
        first = first_layout(lives)
        small = mended(lives, first, 20_000)
        check_layout(lives, small)
        assert floor_bytes(lives) <= small.arena_bytes <= first.arena_bytes
        assert small == mended(lives, first, 20_000)
        better += small.arena_bytes < first.arena_bytes
    assert better > 20


def test_effort_is_counted_and_buys_less_waste() -> None:
    def waste(effort: int) -> int:
        return sum(
            mended(random_lives(seed), first_layout(random_lives(seed)), effort).arena_bytes for seed in range(40)
        )

    assert waste(0) > waste(60) > waste(50_000)
    lives = dense_lives(1)
    first = first_layout(lives)
    assert mended(lives, first, 0) == first
    few, many = (mended(lives, TALL, effort, seed=3) for effort in (4_000, 60_000))
    check_layout(lives, many)
    assert floor_bytes(lives) < many.arena_bytes < few.arena_bytes
    assert many == mended(lives, TALL, 60_000, seed=3) != mended(lives, TALL, 60_000, seed=4)


def test_it_stops_at_the_deadline_and_at_the_target() -> None:
    lives = dense_lives(0)
    first = first_layout(lives)
    assert mended(lives, first, 10**9, deadline=time.perf_counter()) == first
    began = time.perf_counter()
    mended(lives, first, 10**12, deadline=began + 0.3)
    assert time.perf_counter() - began < 10
    assert mended(lives, first, 10**6, target_bytes=first.arena_bytes) == first


def test_the_pyramid_stands_first_longest_lifetime_lowest() -> None:
    # All but the last two live at the peak, step 5.
    lives = (*(Lifetime(k, 5 - k, 6 + k, 8) for k in range(5)), Lifetime(5, 0, 2, 9), Lifetime(6, 8, 20, 3))
    field = Field.of(lives)
    sequences = list(_sequences(field))
    assert len(sequences) > 1
    for number, (sequence, pyramid) in enumerate(sequences):
        assert sorted(sequence.tolist()) == list(range(7))
        assert pyramid == (0 if number % 2 else 5)
        if pyramid:
            assert field.storages[sequence[:5]].tolist() == [4, 3, 2, 1, 0]


def test_what_ends_too_high_goes_to_the_front_but_not_before_the_pyramid(monkeypatch: pytest.MonkeyPatch) -> None:
    lives = (Lifetime(0, 0, 4, 4), Lifetime(1, 2, 4, 4), Lifetime(2, 1, 3, 6), Lifetime(3, 0, 1, 8))
    field = Field.of(lives)
    number = {int(storage): index for index, storage in enumerate(field.storages)}
    tried: list[list[int]] = []

    class Bench(_Bench):
        def highs(self, sequence, first_fit):  # type: ignore[no-untyped-def]
            tried.append([int(field.storages[index]) for index in sequence])
            return np.array([13 if int(storage) == 2 else 12 for storage in field.storages])

    monkeypatch.setattr(mend, "_FEW", 1 / 2)
    Bench(field, 12, 100, 10, None).mend_at_front(np.array([number[storage] for storage in (0, 1, 3, 2)]), 1, True)
    assert tried[:2] == [[0, 1, 3, 2], [0, 2, 1, 3]]


def test_a_training_step_ends_at_its_live_peak() -> None:
    graph = training_step(6)
    lives = lifetimes(graph, captured_order(graph))
    assert mended(lives, TALL, 20 * len(lives)).arena_bytes == floor_bytes(lives)


def test_the_very_large_instance_is_solved_exactly() -> None:
    if not PANGU.exists():
        pytest.skip(f"{PANGU} is not on this machine")
    pytest.importorskip("numba", reason="takes minutes as plain Python")
    lives = load_instance(PANGU).problem
    layout = mended(lives, TALL, 3 * len(lives))
    check_layout(lives, layout)
    assert layout.arena_bytes == floor_bytes(lives) == 5_530_099_775
