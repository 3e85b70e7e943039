"""Points of extra time and peak, as they are told of states."""

from types import SimpleNamespace

import numpy as np
import pytest

from roam_lab.rewrite.front import Front
from roam_lab.rewrite.points import Found, Goals, Point, points_of


def explorer(base_us, *states):
    front = Front()
    for us, peak in states:
        front.add(us, peak, np.zeros(1, np.int8))
    return SimpleNamespace(front=front, problem=SimpleNamespace(base_us=base_us))


def test_extra_times_are_fractions_of_the_time_of_the_graph_without_the_last_digits():
    found = points_of(explorer(3.0, (2.9999999999999996, 90), (3.3, 80), (4.5, 70)), "name")
    assert [(str(one.extra_time), one.peak_bytes, one.strategy) for one in found] == [
        ("0.0", 90, "name"),
        ("0.1", 80, "name"),
        ("0.5", 70, "name"),
    ]
    assert points_of(explorer(1.0, (1.0000000014, 5)), "")[0].extra_time == 1e-9
    assert [one.extra_time for one in points_of(explorer(0.0, (0.0, 5)), "")] == [0.0]


def test_a_point_may_take_a_billionth_more_than_is_asked():
    found = Found(
        tuple(Point(extra, 9 - at, lambda: pytest.fail("not asked for"), "") for at, extra in enumerate((0.1, 0.2)))
    )
    assert found.at_most(0.1 - 9e-10).peak_bytes == 9
    assert found.at_most(0.1 - 2e-9) is None
    assert found.at_most(0.2 - 9e-10).peak_bytes == 8
    assert Goals().kinds == {"in_place", "fuse", "recompute"}
