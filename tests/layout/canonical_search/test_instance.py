"""Parts, sections and rankings."""

from __future__ import annotations

import numpy as np
import pytest

from roam_lab.ir import Lifetime, lifetimes_curve
from roam_lab.layout.canonical_search.instance import Part, parts, sections
from tests.layout.instances import cut_rectangle, full_load


def test_parts_share_no_moment() -> None:
    lives = (Lifetime(0, 4, 6, 1), Lifetime(1, 0, 2, 1), Lifetime(2, 1, 4, 1), Lifetime(3, 6, 7, 1))
    assert [[life.storage for life in part] for part in parts(lives)] == [[1, 2], [0], [3]]
    assert parts(()) == []


def test_sections_are_the_maximal_sets() -> None:
    lives = (Lifetime(0, 0, 2, 1), Lifetime(1, 1, 4, 1), Lifetime(2, 2, 3, 1), Lifetime(3, 4, 5, 1))
    assert sections(lives) == [1, 2, 4]


@pytest.mark.parametrize("seed", range(40))
def test_sharing_a_section_is_overlapping(seed: int) -> None:
    lives = full_load(seed, 12, unit=64)
    part = Part(lives)
    lows, highs = part.spans
    for i, one in enumerate(lives):
        assert lows[i] < highs[i]
        for j, other in enumerate(lives):
            assert (lows[i] < highs[j] and lows[j] < highs[i]) == (one.start < other.end and other.start < one.end)
    assert part.unit % 64 == 0
    assert part.totals.max() * part.unit == lifetimes_curve(lives).max()


def test_rankings_are_permutations_repeatable_and_differ() -> None:
    part = Part(cut_rectangle(0, 30))
    seen = set()
    for number in range(30):
        ranking, _ = part.ranking(number, 0)
        assert sorted(ranking.tolist()) == list(range(30))
        assert np.array_equal(ranking, part.ranking(number, 0)[0])
        seen.add(tuple(ranking.tolist()))
    assert len(seen) > 15
    assert not np.array_equal(part.ranking(7, 0)[0], part.ranking(7, 1)[0])


def test_fuller_sections_first() -> None:
    part = Part(cut_rectangle(5, 30))
    lives = (Lifetime(0, 0, 1, 9), Lifetime(1, 2, 3, 10), Lifetime(2, 2, 3, 1))
    ranking, dynamic = Part(lives).ranking(0, 0)
    assert dynamic
    assert ranking.tolist() == [1, 2, 0]
    assert not part.ranking(3, 0)[1]
