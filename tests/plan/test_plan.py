"""A plan's figures, its one line, and what is written of it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from roam_lab.errors import InputError
from roam_lab.ir import Rewritten
from roam_lab.plan import Plan, make_plan
from roam_lab.plan.whole_step import planned_whole_bytes
from tests.plan.graphs import pumpkin
from tests.rewrite.graphs import blocks


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(replace(pumpkin(), unlisted_resident_bytes=1000), order="list")


@pytest.fixture(scope="module")
def rewritten() -> Plan:
    return make_plan(blocks(3), extra_time=0.2, alignment=1)


def test_the_gap_is_how_far_the_peak_lies_above_the_bound(plan: Plan) -> None:
    for peak, bound, gap in ((116, 112, 116 / 112 - 1), (112, 112, 0.0), (0, 0, 0.0), (5, 0, math.inf)):
        assert replace(plan, peak_bytes=peak, lower_bound_bytes=bound).gap == gap


def test_eager_needs_the_more_of_two_figures(plan: Plan) -> None:
    assert plan.captured_peak_bytes == 308
    for eager, most in ((None, 308), (0, 308), (307, 308), (400, 400)):
        assert replace(plan, eager_peak_bytes=eager).eager_bytes == most


def test_what_is_resident_counts_in_the_whole_step(plan: Plan) -> None:
    assert plan.resident_bytes == 1000
    assert planned_whole_bytes(plan) == 1260
    assert plan.headline == "1.3 -> 1.2 KiB, -3.7 %"
    bare = replace(plan, graph=None)
    assert bare.resident_bytes == 0
    with pytest.raises(InputError) as caught:
        planned_whole_bytes(bare)
    assert str(caught.value) == "this plan is bare (it has no graph in it), so its resident bytes are not known"


def test_its_one_line(plan: Plan) -> None:
    head = "whole step 1.3 -> 1.2 KiB, -3.7 %, at most 3.6% above the optimum; arena 260 B; order list, layout auto)"
    assert repr(plan) == f"Plan('pumpkin': {head}"
    assert repr(replace(plan, graph=None)) == (
        "Plan(a bare plan: above resident 308 -> 260 B, -15.6 %, at most 3.6% above the optimum; arena 260 B; "
        "order list, layout auto)"
    )
    assert ", optimal; arena" in repr(replace(plan, optimal=True))


def test_a_rewritten_graph_is_had_where_there_is_one(plan: Plan, rewritten: Plan) -> None:
    assert plan.rewritten is None
    assert rewritten.graph is not None
    assert rewritten.rewritten == Rewritten(rewritten.graph, rewritten.origins)
    assert replace(rewritten, graph=None).rewritten is None


def test_files_are_whole_unless_a_bare_one_is_asked_for(plan: Plan, rewritten: Plan, tmp_path: Path) -> None:
    path = tmp_path / "p.roam.json"
    keys = [
        *("format", "graph_sha256", "order", "offsets", "arena_bytes", "peak_bytes", "lower_bound_bytes"),
        *("captured_peak_bytes", "optimal", "status", "order_strategy", "layout_strategy", "seconds", "seed"),
        *("environment", "certificate"),
    ]
    plan.save(path)
    assert list(json.loads(path.read_text())) == [*keys, "graph"]
    plan.save(path, bare=True)
    assert list(json.loads(path.read_text())) == keys
    rewritten.save(path)
    more = ["rewrites", "rewrite_strategy", "extra_time", "savings", "rewrite_bound"]
    assert set(json.loads(path.read_text())) == {*keys, *more, "graph"}
    assert ", " not in path.read_text().replace(rewritten.environment.get("times", ""), "")
    with pytest.raises(InputError) as caught:
        rewritten.save(path, bare=True)
    wanted = "what was rewritten is in the plan's graph; save it whole, or plan without rewrites"
    assert str(caught.value) == f"{path}: {wanted}"


def test_plans_are_equal_that_took_other_times(plan: Plan) -> None:
    assert replace(plan, seconds=99.0, tasks=None) == plan
    assert replace(plan, seed=1) != plan
