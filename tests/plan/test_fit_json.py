"""The file of a fit: it comes back whole, and nothing in it is believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from roam_lab.errors import FormatError, InputError
from roam_lab.plan.devices import DEVICES, Device
from roam_lab.plan.fit import Fit
from roam_lab.plan.fit_json import load_fit
from roam_lab.plan.runs import Point

FIT = Fit(
    "step",
    tuple(
        Point(
            batch,
            100,
            batch * 50,
            batch * 20,
            batch * 40,
            {0.1: batch * 10},
            {"planned": batch * 22, 0.1: batch * 12},
            {"planned": 0.0, 0.1: 0.093},
            {"a100": batch * 0.25},
        )
        for batch in (1, 8)
    ),
    (Device("this machine's RAM", 2**30), *DEVICES),
    "sequence length",
    4,
)


def test_it_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "fit.json"
    FIT.save(path)
    assert load_fit(path) == FIT


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("format",), "roam-fit/9", "its format is not 'roam-fit/1'; give a file that roam fit -o wrote"),
        (("axis",), "width", "axis is 'width' there, which no fit has"),
        (("fixed",), -1, "fixed is -1 there"),
        (("points",), None, "points is None there"),
        (("points",), [], "batch sizes must ascend"),
        (("points", 0), 7, "points 0: resident_bytes is missing"),
        (("points", 0, "batch"), 9, "batch sizes must ascend"),
        (("points", 1, "eager_bytes"), 1.5, "points 1: eager_bytes is 1.5 there"),
        (("points", 1, "rewritten"), [], "every batch size must be planned for the same extra times"),
        (("points", 1, "rewritten", 0, "added"), float("inf"), "rewritten 0: added is inf there"),
        (("points", 1, "seconds"), {"a100": "fast"}, "points 1: seconds: a100 is 'fast' there"),
        (("devices", 0, "name"), None, "devices 0: name is None there"),
        (("devices", 1, "price_per_hour"), True, "devices 1: price_per_hour is True there"),
    ],
)
def test_nothing_in_it_is_believed(tmp_path: Path, place: tuple[Any, ...], value: Any, message: str) -> None:
    data = FIT.to_data()
    inside: Any = data
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    path = tmp_path / "fit.json"
    path.write_text(json.dumps(data))
    with pytest.raises(FormatError) as caught:
        load_fit(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        load_fit(tmp_path / "none.json")
