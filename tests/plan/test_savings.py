"""What each kind of rewriting saved adds up to the whole, comes back from a file, and is checked there."""

from dataclasses import replace

import pytest

from roam_lab.errors import FormatError
from roam_lab.ir import live_peak
from roam_lab.plan import make_plan
from roam_lab.plan.plan import Rewrite, Saving, plan_to_data
from roam_lab.plan.plan_json import plan_from_data
from roam_lab.plan.savings import savings_of
from roam_lab.registry import find
from roam_lab.rewrite.base_order import with_early_updates
from roam_lab.rewrite.points import Goals
from tests.rewrite.graphs import blocks


@pytest.fixture(scope="module")
def plan():
    return make_plan(blocks(6), extra_time=0.2, alignment=1)


def test_bytes_and_time_add_up(plan):
    assert [one.kind for one in plan.savings][-1] == "recompute"
    assert sum(one.bytes for one in plan.savings) == plan.captured_peak_bytes - plan.peak_bytes > 0
    assert sum(one.extra_time for one in plan.savings) == pytest.approx(plan.extra_time)
    assert make_plan(blocks(2)).savings == ()


def test_each_kind_is_counted_on_top_of_those_before():
    graph = blocks(3)
    captured = live_peak(graph, range(len(graph.ops))).bytes
    free = find("rewrite", "free").function
    fused = free(graph, Goals(kinds=frozenset({"fuse"}))).points[0].peak_bytes
    made = savings_of(graph, captured, 400, 0.3, [Rewrite("fuse", 0), Rewrite("recompute", 1), Rewrite("offload", 2)])
    assert [one.kind for one in made if one.kind != "order"] == ["fuse", "recompute, offload"]
    assert made[-1].bytes == fused - 400
    assert sum(one.bytes for one in made) == captured - 400
    alone = savings_of(graph, captured, 500, 0.0, [Rewrite("in_place", 0)])
    assert alone[-1].kind == "in_place"
    assert sum(one.bytes for one in alone) == captured - 500


def test_what_is_made_again_says_so(plan):
    again = {op for op in range(len(plan.graph.ops)) if Rewrite("recompute", op) in plan.rewrites}
    made = {storage for storage, info in enumerate(plan.graph.storages) if info.kind == "recomputed"}
    assert made
    assert made == {storage for op in again for storage in plan.graph.ops[op].creates}


def test_files_keep_them_and_are_checked(plan):
    data = plan_to_data(plan)
    assert plan_from_data(data) == plan
    wrong = replace(plan.savings[0], bytes=plan.savings[0].bytes + 1)
    with pytest.raises(FormatError, match=r"savings come to \d+ bytes, but captured_peak_bytes less peak_bytes"):
        plan_from_data(plan_to_data(replace(plan, savings=(wrong, *plan.savings[1:]))))
    for bad in ({"savings": 7}, {"savings": [3]}, {"savings": [{"kind": "fuse", "bytes": "many", "extra_time": 0}]}):
        with pytest.raises(FormatError, match="savings"):
            plan_from_data({**data, **bad})
    del data["savings"]
    assert plan_from_data(data).savings == ()


def test_rows_whole():
    """A free row is what its graph could be run with; the last takes what is left; an order that changes nothing has
    no row, unless there is no other."""
    graph = blocks(3)
    free = find("rewrite", "free").function
    peak = live_peak(graph, range(len(graph.ops))).bytes
    start = free(graph, Goals(kinds=frozenset())).points[0].peak_bytes
    assert start == peak
    assert savings_of(graph, peak, 400, 0.3, [Rewrite("recompute", 1)]) == (Saving("recompute", peak - 400, 0.3),)
    assert savings_of(graph, peak + 8, 400, 0.3, [Rewrite("offload", 1)]) == (
        Saving("order", 8, 0.0),
        Saving("offload", peak - 400, 0.3),
    )
    assert savings_of(graph, peak, 400, -0.1, []) == (Saving("order", peak - 400, -0.1),)
    assert savings_of(graph, 400, 400, 0.0, []) == (Saving("order", 0, 0.0),)
    fused = free(graph, Goals(kinds=frozenset({"fuse"}))).points[0]
    both = savings_of(graph, peak, 400, 0.3, [Rewrite("fuse", 0), Rewrite("recompute", 1)])
    assert both == (
        Saving("fuse", peak - fused.peak_bytes, fused.extra_time),
        Saving("recompute", fused.peak_bytes - 400, round(0.3 - fused.extra_time, 9)),
    )
    backwards = with_early_updates(graph, tuple(range(len(graph.ops))))
    other = free(graph, Goals(kinds=frozenset(), order=backwards)).points[0].peak_bytes
    assert savings_of(graph, peak + 5, 1, 0.0, [Rewrite("recompute", 1)], backwards) == (
        *([Saving("order", peak + 5 - other, 0.0)] if other != peak + 5 else []),
        Saving("recompute", other - 1, 0.0),
    )
