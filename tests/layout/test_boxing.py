"""Boxing as a strategy: legal, repeatable, stops, and mending is most of it."""

from __future__ import annotations

import time

from roam_lab.ir import Layout, Lifetime, captured_order, check_layout, lifetimes, lifetimes_curve
from roam_lab.layout.boxing import boxing
from roam_lab.layout.llfb import llfb
from tests.layout.packing.lives import dense_lives, random_lives
from tests.plan.training_step import training_step


def test_legal_and_repeatable_with_and_without_mending() -> None:
    alone_bytes = mended_bytes = 0
    for seed in range(25):
        lives = random_lives(seed)
        alone, mended = boxing(lives, mending=0), boxing(lives, mending=50)
        for layout in (alone, mended):
            check_layout(lives, layout)
        assert lifetimes_curve(lives).max(initial=0) <= mended.arena_bytes <= alone.arena_bytes
        assert mended == boxing(lives, mending=50)
        alone_bytes, mended_bytes = alone_bytes + alone.arena_bytes, mended_bytes + mended.arena_bytes
    assert mended_bytes < alone_bytes


def test_the_seed_and_the_effort_reach_mending() -> None:
    lives = dense_lives(0)
    assert boxing(lives, seed=1, mending=60) != boxing(lives, seed=2, mending=60)
    assert boxing(lives, mending=400).arena_bytes < boxing(lives, mending=1).arena_bytes


def test_it_stops_at_its_limits() -> None:
    lives = dense_lives(1)
    assert boxing(lives, time_limit=0.0) == llfb(lives)
    alone = boxing(lives, mending=0)
    assert boxing(lives, capacity=alone.arena_bytes).arena_bytes <= alone.arena_bytes
    assert boxing(lives, capacity=10 * alone.arena_bytes, mending=10**9, time_limit=None).arena_bytes > 0
    began = time.perf_counter()
    check_layout(lives, boxing(lives, mending=10**9, time_limit=0.4))
    assert time.perf_counter() - began < 10


def test_a_training_step_ends_at_its_live_peak() -> None:
    graph = training_step(6)
    lives = lifetimes(graph, captured_order(graph))
    assert boxing(lives).arena_bytes == lifetimes_curve(lives).max()


def test_nothing_and_one_buffer() -> None:
    assert boxing(()) == Layout({}, 0)
    assert boxing((Lifetime(7, 3, 4, 5),)) == Layout({7: 0}, 5)
