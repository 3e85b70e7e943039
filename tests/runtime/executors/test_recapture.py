"""When a captured graph is captured again."""

import math

import pytest

from roam_lab.runtime.executors.recapture import Recaptures, baked


@pytest.mark.parametrize(
    ("before", "now", "same"),
    [
        ([1e-3, 3], [1e-3, 3], True),
        ([1e-3], [1e-3 + 1e-18], False),
        ([0.0], [-0.0], False),
        ([1], [1.0], False),
        ([1], [True], False),
        ([math.nan], [math.nan], True),
    ],
)
def test_numbers_are_compared_bit_by_bit(before, now, same):
    assert (baked(before) == baked(now)) is same


def answers(changing_steps, steps):
    changes = Recaptures()
    found = []
    for step in range(steps):
        changes.step()
        if step in changing_steps:
            found.append(changes.change())
    return found


def test_two_changes_in_ten_steps_are_too_many():
    assert answers({3, 12}, 20) == [True, False]
    assert answers({3, 13}, 20) == [True, True]
    assert answers({0}, 1) == [True]
    assert answers({0, 20, 40, 41}, 60) == [True, True, True, False]
