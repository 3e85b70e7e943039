"""The search for the least capacity."""

from __future__ import annotations

import pytest

from roam_lab.ir import Layout, Lifetime, check_layout, lifetimes_curve
from roam_lab.layout.best_fit import best_fit
from roam_lab.layout.canonical_search.capacity import Effort, lowered, luby
from tests.layout.instances import cut_rectangle, full_load, least_arena
from tests.twins import sampled


def effort(nodes: int = 10**6) -> Effort:
    return Effort(nodes, 10**10)


def test_luby() -> None:
    assert [luby(index) for index in range(15)] == [1, 1, 2, 1, 1, 2, 4, 1, 1, 2, 1, 1, 2, 4, 8]


@pytest.mark.parametrize("rungs", [False, True])
@pytest.mark.parametrize("seed", sampled(range(40), 3))
def test_the_least_is_reached_from_any_layout(seed: int, rungs: bool) -> None:
    lives = full_load(seed, 4 + seed % 8)
    tops = [sum(life.bytes for life in lives[: index + 1]) for index in range(len(lives))]
    stacked = Layout({life.storage: top - life.bytes for life, top in zip(lives, tops, strict=True)}, tops[-1])
    layout = lowered(lives, stacked, int(lifetimes_curve(lives).max()), effort(), 0, rungs)
    check_layout(lives, layout)
    assert layout.arena_bytes == least_arena(lives)


def test_it_stops_at_the_goal() -> None:
    lives = cut_rectangle(3, 60)
    known = best_fit(lives)
    goal = (1000 + known.arena_bytes) // 2
    found = lowered(lives, known, goal, effort(), 0, False)
    check_layout(lives, found)
    assert 1000 <= found.arena_bytes <= goal < known.arena_bytes


def test_parts_are_brought_down_one_by_one() -> None:
    first, second = cut_rectangle(3, 30), cut_rectangle(4, 30)
    later = tuple(Lifetime(life.storage + 30, life.start + 200, life.end + 200, life.bytes) for life in second)
    lives = first + later
    layout = lowered(lives, best_fit(lives), 1000, effort(), 0, True)
    check_layout(lives, layout)
    assert layout.arena_bytes == 1000


def test_effort_is_counted() -> None:
    lives = cut_rectangle(3, 60)
    spent = effort(5000)
    assert lowered(lives, best_fit(lives), 0, spent, 0, True).arena_bytes <= best_fit(lives).arena_bytes
    assert spent.nodes <= 0 or spent.work < 10**10
    nothing = Effort(10**6, 0)
    assert lowered(lives, best_fit(lives), 1000, nothing, 0, True) == best_fit(lives)
