"""The check refuses what it must, and agrees with an even plainer one."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from roam_lab.errors import JudgementError
from roam_lab.ir import Layout, Lifetime, check_layout, check_order, lifetimes, lifetimes_curve, live_curve, live_peak
from tests.plan.graphs import pumpkin, random_graph

LIVES = (Lifetime(0, 0, 2, 10), Lifetime(1, 1, 3, 10), Lifetime(2, 2, 4, 10))


def test_good_layouts_pass() -> None:
    check_layout(LIVES, Layout({0: 0, 1: 10, 2: 0}, 20))


@pytest.mark.parametrize(
    ("offsets", "arena", "wording"),
    [
        ({0: 0, 1: 9, 2: 20}, 30, "storages 0 and 1 overlap in the arena at step 1"),
        ({0: 0, 1: 0, 2: 20}, 30, "storages 0 and 1 overlap in the arena at step 1"),
        ({0: 0, 1: 10, 2: 15}, 30, "storages 1 and 2 overlap in the arena at step 2"),
        ({0: 0, 1: 10}, 20, r"storage 2 \(10 bytes\) has no offset"),
        ({0: 0, 1: 10, 2: 11}, 20, r"storage 2 at 11\+10 leaves the arena of 20 bytes"),
        ({0: -1, 1: 10, 2: 0}, 20, r"storage 0 at -1\+10 leaves the arena of 20 bytes"),
    ],
)
def test_bad_layouts_are_refused(offsets: dict[int, int], arena: int, wording: str) -> None:
    with pytest.raises(JudgementError, match=wording):
        check_layout(LIVES, Layout(offsets, arena))


def test_the_check_agrees_with_comparing_all_pairs() -> None:
    draw = random.Random(0)
    verdicts = set()
    for _ in range(2000):
        lives = []
        for storage in range(draw.randint(1, 6)):
            start = draw.randint(0, 5)
            lives.append(Lifetime(storage, start, start + draw.randint(1, 4), draw.randint(1, 4)))
        offsets = {life.storage: draw.randint(0, 12) for life in lives}
        overlap = any(
            a.start < b.end
            and b.start < a.end
            and offsets[a.storage] < offsets[b.storage] + b.bytes
            and offsets[b.storage] < offsets[a.storage] + a.bytes
            for a, b in combinations(lives, 2)
        )
        try:
            check_layout(lives, Layout(offsets, 16))
            assert not overlap
        except JudgementError:
            assert overlap
        verdicts.add(overlap)
    assert verdicts == {True, False}


@pytest.mark.parametrize(
    ("order", "wording"),
    [
        ((0, 1, 2), "not a permutation of the graph's 8 ops"),
        ((0, 0, 1, 2, 3, 4, 5, 6), "not a permutation"),
        ((1, 0, 2, 3, 4, 5, 6, 7), r"op 1 \(hill_1\) runs before op 0, which it must follow"),
    ],
)
def test_bad_orders_are_refused(order: tuple[int, ...], wording: str) -> None:
    with pytest.raises(JudgementError, match=wording):
        check_order(pumpkin(), order)


def test_live_curve_by_hand() -> None:
    assert live_curve(pumpkin(1), range(4)).tolist() == [8, 108, 104, 4]
    assert live_peak(pumpkin(3), (0, 1, 4, 2, 5, 3, 6, 7)).bytes == 116
    assert live_peak(pumpkin(3), range(8)).bytes == 308


@pytest.mark.parametrize("seed", range(20))
def test_live_curve_agrees_with_counting_every_step(seed: int) -> None:
    graph = random_graph(seed)
    order = range(len(graph.ops))
    lives = lifetimes(graph, order)
    counted = [sum(life.bytes for life in lives if life.start <= step < life.end) for step in order]
    assert live_curve(graph, order).tolist() == counted
    assert lifetimes_curve(lives).max(initial=0) == max(counted, default=0)
