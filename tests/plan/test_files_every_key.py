"""Every key of the files of a fit and of a frontier: it comes back, another value is another result or refused, and one
of another type is named."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from roam_lab.errors import FormatError
from roam_lab.plan.alternatives import Alternative
from roam_lab.plan.devices import Device
from roam_lab.plan.fit import Fit
from roam_lab.plan.fit_json import load_fit
from roam_lab.plan.frontier import Frontier, LaidOutPoint
from roam_lab.plan.frontier_json import load_frontier
from roam_lab.plan.runs import Point
from roam_lab.rewrite.bound import RewriteBound
from tests.plan.json_values import WRONG, another, leaves, put, result_or_sentence, without

POINTS = (LaidOutPoint(0.0, 900, 800, 0, 0), LaidOutPoint(0.1, 700, 650, 3, 128))
FRONTIER = Frontier(
    "step", 100, 1000, POINTS, "measured", "greedy", LaidOutPoint(0.3, 600, 590, 9, 64), "ab12", 1200,
    (Alternative("one", -5, None, {"a100": 0.5}, True, "so"), Alternative("other", 50, 0.25, {}, False, "thus")),
    (RewriteBound(500, 0.0), RewriteBound(400, 0.1)),
)  # fmt: skip
FIT = Fit(
    "step",
    tuple(
        Point(
            batch, 100, batch * 50, batch * 20, batch * 40, {0.1: batch * 10, 0.2: batch * 9},
            {"planned": batch * 22, 0.1: batch * 12, 0.2: batch * 11}, {"planned": -0.01, 0.1: 0.093, 0.2: 0.15},
            {"a100": batch * 0.25, "t4": batch * 1.5},
        )
        for batch in (2, 8)
    ),
    (Device("RAM", 2**30), Device("T4", 2**34, 2**29, 0.5, "t4")),
    "sequence length",
    4,
)  # fmt: skip


@pytest.mark.parametrize(("made", "load"), [(FRONTIER, load_frontier), (FIT, load_fit)])
def test_a_file_comes_back_and_every_value_of_it_counts(made: Any, load: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    made.save(path)
    data = json.loads(path.read_text())
    assert load(path) == made
    for place, value in leaves(data):
        if any(str(key).startswith("largest") for key in place):
            continue  # computed from the rest
        path.write_text(json.dumps(put(data, place, another(value))))
        found = result_or_sentence(load, path)
        assert found != made, place
        assert not isinstance(found, str) or found.startswith(f"{path}: "), place
        if value is None:
            continue
        path.write_text(json.dumps(put(data, place, WRONG[type(value)])))
        if place[-1] == "same_bits":
            assert load(path).alternatives[place[1]].same_bits is False  # bits are the same only where that is said
            continue
        with pytest.raises(FormatError) as caught:
            load(path)
        for key in place:
            assert str(key) in str(caught.value) or key in ("format", "points"), place


def test_older_files_of_frontiers_lack_what_came_later(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    FRONTIER.save(path)
    data = json.loads(path.read_text())
    later = ("strategy", "checkpointed", "graph_sha256", "eager_bytes", "alternatives", "bounds")
    oldest = Frontier("step", 100, 1000, POINTS, "measured")
    path.write_text(json.dumps(without(data, *later)))
    assert load_frontier(path) == oldest
    for key in later:
        path.write_text(json.dumps(without(data, *(one for one in later if one != key))))
        assert load_frontier(path) == dataclasses.replace(oldest, **{key: getattr(FRONTIER, key)})
