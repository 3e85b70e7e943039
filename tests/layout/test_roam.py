"""The roam layout: brackets across the waist."""

from __future__ import annotations

import random

import pytest

from roam_lab.ir import Layout, Lifetime, captured_order, check_layout, lifetimes, lifetimes_curve, load_graph
from roam_lab.layout.best_fit import place
from roam_lab.layout.brackets import STACKINGS, stack, waist
from roam_lab.layout.roam import roam
from roam_lab.order.roam import roam as roam_order
from tests.captured import ALL, step_file
from tests.plan.training_step import training_step

NESTED = (
    Lifetime(0, 0, 10, 64),
    Lifetime(1, 1, 9, 128),
    Lifetime(2, 2, 8, 32),
    Lifetime(3, 4, 6, 500),  # a temporary at the waist, larger than all
    Lifetime(4, 0, 1, 300),
    Lifetime(5, 8, 10, 200),
)


def random_lives(seed: int) -> tuple[Lifetime, ...]:
    draw = random.Random(seed)
    lives = []
    for storage in range(draw.randint(1, 60)):
        start = draw.randint(0, 40)
        lives.append(Lifetime(storage, start, start + draw.randint(1, 40), 64 * draw.randint(1, 30)))
    return tuple(lives)


def test_the_waist_is_where_long_lives_meet() -> None:
    # Most bytes at step 0; most bytes times steps where the three long lives cross.
    lives = (Lifetime(0, 0, 1, 10_000), *(Lifetime(1 + i, 2 + i, 60 - i, 100) for i in range(20)))
    assert waist(lives) == 21
    assert waist(()) == 0


@pytest.mark.parametrize("stacking", STACKINGS)
def test_pairs_lie_on_the_one_outside(stacking: object) -> None:
    stacked = stack(NESTED, stacking)  # type: ignore[arg-type]
    assert {life.storage: offset for life, offset in stacked.items()} == {0: 0, 1: 64, 2: 192, 3: 224}


def test_temporaries_lie_above_what_lives_then() -> None:
    layout = roam(NESTED)
    assert layout.arena_bytes == 724
    assert [layout.offsets[storage] for storage in range(4)] == [0, 64, 192, 224]
    assert layout.offsets[4] == 64
    assert layout.offsets[5] >= 64


@pytest.mark.parametrize("seed", range(25))
def test_every_stacking_is_legal(seed: int) -> None:
    lives = random_lives(seed)
    for stacking in STACKINGS:
        stacked = stack(lives, stacking)
        loose = [life for life in lives if life not in stacked]
        layout = place(loose, None, stacked)
        assert isinstance(layout, Layout)
        check_layout(lives, layout)
        assert {life: layout.offsets[life.storage] for life in stacked} == stacked
        assert place(loose, layout.arena_bytes, stacked) == layout
        if loose and layout.arena_bytes > sum(life.bytes for life in stacked):
            assert isinstance(place(loose, layout.arena_bytes - 1, stacked), Lifetime)


@pytest.mark.parametrize("seed", range(25))
def test_it_is_legal_repeatable_and_close(seed: int) -> None:
    lives = random_lives(seed)
    layout = roam(lives)
    check_layout(lives, layout)
    assert roam(lives) == layout
    assert layout.arena_bytes <= 1.25 * lifetimes_curve(lives).max()


def test_no_storages() -> None:
    assert roam(()) == Layout({}, 0)


@pytest.mark.parametrize("order", ["captured", "roam"])
def test_training_steps_waste_nothing(order: str) -> None:
    graph = training_step(6)
    lives = lifetimes(graph, captured_order(graph) if order == "captured" else roam_order(graph).order)
    layout = roam(lives)
    check_layout(lives, layout)
    assert layout.arena_bytes <= 1.0005 * lifetimes_curve(lives).max()


@pytest.mark.parametrize("name", ALL)
def test_captured_steps_waste_less_than_a_thousandth(name: str) -> None:
    graph = load_graph(step_file(name))
    lives = lifetimes(graph, roam_order(graph).order)
    layout = roam(lives)
    check_layout(lives, layout)
    assert layout.arena_bytes <= 1.001 * lifetimes_curve(lives).max()
