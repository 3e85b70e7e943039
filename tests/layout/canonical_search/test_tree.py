"""One tree: found, proved impossible or paused; what it undoes it undoes wholly."""

from __future__ import annotations

import numpy as np
import pytest

from roam_lab.ir import Layout, check_layout
from roam_lab.layout.canonical_search import kernel
from roam_lab.layout.canonical_search.instance import FIXED, Part
from roam_lab.layout.canonical_search.tree import Tree
from tests.layout.instances import cut_rectangle, full_load, least_arena

ALL = 10**12


@pytest.mark.parametrize("number", [0, 3, FIXED, FIXED + 1])
@pytest.mark.parametrize("seed", range(40))
def test_the_least_arena_is_found_and_less_is_proved_impossible(seed: int, number: int) -> None:
    lives = full_load(seed, 4 + seed % 8)
    part = Part(lives)
    least = least_arena(lives) // part.unit
    assert Tree(part, *part.ranking(number, 0), least).explore(ALL, ALL, None) == kernel.FOUND
    assert Tree(part, *part.ranking(number, 0), least - 1).explore(ALL, ALL, None) == kernel.IMPOSSIBLE


@pytest.mark.parametrize("seed", range(20))
def test_a_search_cut_into_slices_is_the_same_search(seed: int) -> None:
    part = Part(cut_rectangle(seed, 30))
    ranking = part.ranking(0, 0)
    whole, sliced = Tree(part, *ranking, 1000 // part.unit), Tree(part, *ranking, 1000 // part.unit)
    status = whole.explore(ALL, ALL, None)
    nodes = 0
    while sliced.explore(nodes, ALL, None) == kernel.PAUSED:
        nodes += 7
    assert status == kernel.FOUND
    assert sliced.nodes == whole.nodes
    assert np.array_equal(sliced.found(), whole.found())


@pytest.mark.parametrize("seed", range(20))
def test_everything_is_undone(seed: int) -> None:
    lives = cut_rectangle(seed, 45)
    part = Part(lives)
    tree = Tree(part, *part.ranking(0, 0), 1000 // part.unit)
    buffers, sections = tree.buffers.copy(), tree.sections.copy()
    assert tree.explore(200_000, ALL, None) == kernel.FOUND
    assert np.array_equal(tree.buffers[:, : kernel.FOUND_AT], buffers[:, : kernel.FOUND_AT])
    assert np.array_equal(tree.sections[: kernel.TOP], sections[: kernel.TOP])
    assert sorted(tree.lists[: len(lives)]) == list(range(len(lives)))
    assert tree.registers[kernel.TRAIL_END] == 0
    assert tree.registers[kernel.LISTS_END] == len(lives)
    offsets = {life.storage: int(at) * part.unit for life, at in zip(lives, tree.found(), strict=True)}
    check_layout(lives, Layout(offsets, 1000))


def test_without_room_for_lists_components_are_searched_together() -> None:
    for seed in range(20):
        part = Part(cut_rectangle(seed, 25))
        tree = Tree(part, *part.ranking(0, 0), 1000 // part.unit)
        tree.lists = tree.lists[:26].copy()
        assert tree.explore(ALL, ALL, None) == kernel.FOUND


@pytest.mark.parametrize(
    ("row", "dead"),
    [
        ((5, 9, 3, 1), False),  # that search began higher: it left out more
        ((5, 9, -1, 1), False),
        ((5, 7, 3, 2), True),
        ((5, 8, -1, 2), True),
        ((5, 8, 4, 1), True),
        ((5, 8, 6, 1), False),  # ranks above 4 were searched, those up to 6 were not
        ((5, 8, 4, 2), False),  # ranks of another ranking
        ((6, 7, 3, 1), False),
    ],
)
def test_a_dead_end_is_known_from_no_later_a_place(row: tuple[int, ...], dead: bool) -> None:
    frame = np.zeros(kernel.FRAME_FIELDS, np.int64)
    frame[[kernel.KEY, kernel.OFFSET, kernel.TIE, kernel.RANKING]] = 5, 8, 4, 1
    assert kernel.known(np.array([row], np.int64), frame) is dead
