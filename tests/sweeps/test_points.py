"""Grids of points, and values that no plan could be made for."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from roam_lab.errors import RoamError
from roam_lab.sweeps import SweepPoint, grid
from roam_lab.sweeps.points import point_of


def test_a_grid_is_every_combination_and_each_goal_is_one() -> None:
    points = grid("a.py:f", "b.py:g", batch=(1, 2), order="auto", extra_time=(0, 0.1), budget="1KiB")
    assert len(points) == len(set(points)) == 2 * 2 * 3
    goals = {(point.budget, point.extra_time) for point in points}
    assert goals == {(None, 0.0), (None, 0.1), (1024, None)}
    assert {(point.factory, point.batch) for point in points} == {(f, b) for f in ("a.py:f", "b.py:g") for b in (1, 2)}
    assert grid("a.py:f") == [SweepPoint("a.py:f")]


def test_one_meaning_is_one_point() -> None:
    (named,) = {
        SweepPoint("a.py:f", dtype=given)  # type: ignore[arg-type]
        for given in ("bf16", "bfloat16", "torch.bfloat16", torch.bfloat16)
    }
    assert named.dtype == "bfloat16"
    assert SweepPoint("a.py:f", extra_time=0) == SweepPoint("a.py:f", extra_time=0.0)
    assert SweepPoint("a.py:f", rewrites=("recompute", "in_place")).rewrites == ("in_place", "recompute")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"factory": "train.py"}, "factory is 'train.py'; give FILE.py:FACTORY"),
        ({"batch": 2}, "a point has no 'factory'"),
        ({"factory": "a.py:f", "bach": 2}, "a point has no 'bach'; did you mean 'batch'"),
        ({"factory": "a.py:f", "batch": 0}, "batch is 0; give a whole number of at least 1"),
        ({"factory": "a.py:f", "batch": "8"}, "batch is '8'; give a whole number"),
        ({"factory": "a.py:f", "sequence": True}, "sequence is True"),
        ({"factory": "a.py:f", "dtype": "bloat16"}, "no dtype 'bloat16' to sweep over; did you mean 'bfloat16'"),
        ({"factory": "a.py:f", "optimizer": 3}, "optimizer is 3; give a name of torch.optim"),
        ({"factory": "a.py:f", "budget": "4GB"}, "'4GB' is not a size"),
        ({"factory": "a.py:f", "extra_time": -1}, "extra_time is -1"),
        ({"factory": "a.py:f", "order": "auti"}, "there is no order strategy 'auti'; did you mean 'auto'"),
        ({"factory": "a.py:f", "times": "h1000"}, "h1000"),
        ({"factory": "a.py:f", "rewrites": ("magic",)}, "magic"),
        ("a.py:f", "a point is a str; give a dict"),
    ],
)
def test_what_cannot_be_a_point(given: Any, message: str) -> None:
    with pytest.raises(RoamError) as refused:
        point_of(given)
    assert message in str(refused.value)


def test_an_axis_that_there_is_not() -> None:
    with pytest.raises(RoamError, match="there is no axis 'batches'; did you mean 'batch'"):
        grid("a.py:f", batches=(1, 2))
