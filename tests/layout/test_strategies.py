"""Every layout in the registry on the same small instances."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.ir import Layout, Lifetime, captured_order, check_layout, lifetimes, lifetimes_curve
from roam_lab.layout.best_fit import SORTINGS, place
from roam_lab.layout.caching_allocator import caching_allocator, reserved_bytes
from roam_lab.layout.squeeze import squeezed
from roam_lab.registry import Strategy, strategies
from tests.plan.graphs import pumpkin
from tests.plan.training_step import training_step

LAYOUTS = strategies("layout")
NAMES = [strategy.name for strategy in LAYOUTS]


def random_lives(seed: int, most: int = 30) -> tuple[Lifetime, ...]:
    draw = random.Random(seed)
    lives = []
    for storage in range(draw.randint(0, most)):
        start = draw.randint(0, 20)
        lives.append(Lifetime(storage, start, start + draw.randint(1, 10), 64 * draw.randint(1, 9)))
    return tuple(lives)


@pytest.mark.parametrize("strategy", LAYOUTS, ids=NAMES)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_every_layout_is_legal_and_repeatable(strategy: Strategy, seed: int) -> None:
    lives = random_lives(seed)
    layout = strategy.function(lives, **strategy.accept({}))
    check_layout(lives, layout)
    assert layout.arena_bytes >= lifetimes_curve(lives).max(initial=0)
    assert set(layout.offsets) == {life.storage for life in lives}
    assert strategy.function(lives, **strategy.accept({})) == layout


@pytest.mark.parametrize("name", ["best_fit", "auto"])
def test_training_steps_waste_nothing(name: str) -> None:
    graph = training_step(6)
    lives = lifetimes(graph, captured_order(graph))
    strategy = {entry.name: entry for entry in LAYOUTS}[name]
    assert strategy.function(lives).arena_bytes <= 1.002 * lifetimes_curve(lives).max()


@pytest.mark.parametrize("sorting", SORTINGS)
@pytest.mark.parametrize("seed", range(10))
def test_every_sorting_is_legal(sorting: str, seed: int) -> None:
    lives = random_lives(seed)
    layout = place(sorted(lives, key=SORTINGS[sorting]))
    assert isinstance(layout, Layout)
    check_layout(lives, layout)


def test_placing_stops_at_the_limit() -> None:
    lives = (Lifetime(0, 0, 2, 64), Lifetime(1, 1, 3, 128))
    assert place(lives, 191) == lives[1]
    assert place(lives, 192) == Layout({0: 0, 1: 64}, 192)


def test_squeezing_never_makes_it_worse_and_sometimes_better() -> None:
    better = 0
    for seed in range(30):
        lives = random_lives(seed)
        first = place(sorted(lives, key=SORTINGS["start"]))
        assert isinstance(first, Layout)
        small = squeezed(lives, first, 5000)
        check_layout(lives, small)
        assert small.arena_bytes <= first.arena_bytes
        better += small.arena_bytes < first.arena_bytes
    assert better > 5


MIB = 1 << 20


@pytest.mark.parametrize(
    ("lives", "reserved"),
    [
        ((), 0),
        ((Lifetime(0, 0, 1, 1),), 2 * MIB),  # a small request: a small segment
        ((Lifetime(0, 0, 1, MIB),), 2 * MIB),
        ((Lifetime(0, 0, 1, MIB + 1),), 20 * MIB),  # a medium one
        ((Lifetime(0, 0, 1, 10 * MIB),), 10 * MIB),  # a large one: rounded to 2 MiB
        ((Lifetime(0, 0, 1, 11 * MIB),), 12 * MIB),
        ((Lifetime(0, 0, 1, 12 * MIB), Lifetime(1, 1, 2, 11 * MIB)), 12 * MIB),  # reused
        ((Lifetime(0, 0, 1, 12 * MIB), Lifetime(1, 1, 2, 14 * MIB)), 26 * MIB),  # never given back: fragmentation
        # Two halves of one segment merge again when freed.
        ((Lifetime(0, 0, 1, 9 * MIB), Lifetime(1, 0, 1, 9 * MIB), Lifetime(2, 1, 2, 19 * MIB)), 20 * MIB),
        # The rest of a large block is split off only above 1 MiB.
        ((Lifetime(0, 0, 1, 12 * MIB), Lifetime(1, 1, 2, 11 * MIB), Lifetime(2, 1, 2, MIB + 1)), 32 * MIB),
        ((Lifetime(0, 0, 1, 14 * MIB), Lifetime(1, 1, 2, 11 * MIB), Lifetime(2, 1, 2, 2 * MIB)), 14 * MIB),
    ],
)
def test_the_caching_allocator_by_hand(lives: tuple[Lifetime, ...], reserved: int) -> None:
    layout = caching_allocator(lives)
    check_layout(lives, layout)
    assert layout.arena_bytes == reserved


def test_reserved_bytes_of_an_order() -> None:
    assert reserved_bytes(pumpkin(), captured_order(pumpkin())) == 2 * MIB
