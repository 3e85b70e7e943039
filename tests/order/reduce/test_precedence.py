"""What must run before what, against reachability by hand."""

from __future__ import annotations

import random
import time

import pytest

from roam_lab.order.effort import Effort, SpentError
from roam_lab.order.reduce import precedence
from roam_lab.order.reduce.precedence import bits, direct, followers_of, reach, reach_masks, topological


@pytest.mark.parametrize("chunk", [3, 16384])
def test_precedence_is_what_reachability_says(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precedence, "CHUNK", chunk)
    for seed in range(100):
        draw = random.Random(seed)
        count = draw.randint(1, 12)
        before = [[other for other in range(op) if draw.random() < 0.3] for op in range(count)]
        groups = [draw.sample(range(count), draw.randint(0, count)) for _ in range(4)]
        above: list[set[int]] = []
        for op in range(count):
            above.append(set(before[op]).union(*(above[other] for other in before[op])))
        after, last = direct(before, groups, Effort(0))
        for op in range(count):
            assert after[op] == [b for b in before[op] if not any(b in above[other] for other in before[op])]
        for group, found in zip(groups, last, strict=True):
            assert found == sorted(m for m in group if not any(m in above[other] for other in group))


def test_tracing_stops_at_the_deadline() -> None:
    with pytest.raises(SpentError):
        direct([[], [0]], [], Effort(0, time.perf_counter()))


def test_masks_orders_and_sets_say_the_same() -> None:
    after = [[], [0], [0], [1, 2], [3], []]
    followers = followers_of(after)
    assert followers == [[1, 2], [3], [3], [4], [], []]
    order = topological(after, followers)
    assert order == [0, 5, 1, 2, 3, 4]
    masks = reach_masks(after, order)
    assert [bits(mask) for mask in masks] == [sorted(reach(after, op)) for op in range(6)]
    assert bits(masks[4]) == [0, 1, 2, 3]
    assert topological([[1], [0], []], [[1], [0], []]) == [2]  # a circle is left out


def test_bits_of_a_mask() -> None:
    assert list(bits(0b101001)) == [0, 3, 5]
