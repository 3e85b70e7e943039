"""Climbing from skyline to skyline."""

from __future__ import annotations

import time

import numpy as np
import pytest

from roam_lab.ir import Layout, check_layout, lifetimes_curve
from roam_lab.layout.packing.climb import RULES, _moved, climbed
from roam_lab.layout.skyline import skyline
from tests.layout.packing.lives import dense_lives, random_lives

TALL = Layout({}, 1 << 60)


def test_climbing_lowers_what_the_rules_leave() -> None:
    for seed in range(3):
        lives = dense_lives(seed)
        rules = climbed(lives, TALL, 2 * len(RULES) * len(lives))
        high = climbed(lives, TALL, 400 * len(lives))
        check_layout(lives, high)
        assert lifetimes_curve(lives).max() <= high.arena_bytes < rules.arena_bytes
        assert rules.arena_bytes <= 1.25 * lifetimes_curve(lives).max()
        assert high == climbed(lives, TALL, 400 * len(lives))
        assert high.arena_bytes <= skyline(lives).arena_bytes


def test_never_worse_than_the_layout_given() -> None:
    lives = dense_lives(1)
    best = climbed(lives, TALL, 300 * len(lives))
    assert climbed(lives, best, 10 * len(lives)) is best
    assert climbed(lives, best, 10**9, target_bytes=best.arena_bytes) is best


def test_it_stops_at_the_deadline() -> None:
    lives = dense_lives(2)
    began = time.perf_counter()
    assert climbed(lives, TALL, 10**12, deadline=began) is TALL
    found = climbed(lives, TALL, 10**12, deadline=began + 0.3)
    assert time.perf_counter() - began < 10
    check_layout(lives, found)


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_some_move_and_the_others_keep_their_sequence(count: int) -> None:
    random = np.random.default_rng(5)
    moved_share = 0.0
    for _ in range(20):
        after = _moved(np.arange(count), random)
        assert sorted(after.tolist()) == list(range(count))
        moved_share += (after != np.arange(count)).mean() / 20
    assert (moved_share > 0) == (count > 1)


def test_small_instances_mostly_end_at_their_live_peak() -> None:
    solved = 0
    for seed in range(60):
        lives = random_lives(seed)
        solved += climbed(lives, TALL, 20_000).arena_bytes == lifetimes_curve(lives).max()
    assert solved > 55
