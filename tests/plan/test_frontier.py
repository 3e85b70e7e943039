"""A frontier's points are laid out, none dominated, and told in rows and JSON."""

import json
from dataclasses import replace

import pytest

from roam_lab.errors import FormatError, InputError, OutputError
from roam_lab.plan import Profile, make_plan
from roam_lab.plan.frontier import make_frontier
from roam_lab.plan.frontier_json import load_frontier
from roam_lab.plan.whole_step import eager_whole_bytes
from roam_lab.report.frontier import frontier_text
from tests.plan.training_step import training_step
from tests.report.graphs import branches
from tests.rewrite.graphs import blocks


def test_points_by_ascending_time_none_dominated(tmp_path):
    graph = blocks(5)
    found = make_frontier(graph, 5)
    assert 2 <= len(found.points) <= 5
    for before, after in zip(found.points, found.points[1:], strict=False):
        assert before.extra_time < after.extra_time
        assert before.arena_bytes > after.arena_bytes
    assert found.points[0].extra_time == 0
    assert found.points[-1].recomputed > 0
    assert all(point.peak_bytes <= point.arena_bytes for point in found.points)
    assert found.captured_peak_bytes == make_plan(graph).captured_peak_bytes
    found.save(tmp_path / "f.json")
    data = json.loads((tmp_path / "f.json").read_text())
    assert list(data)[:4] == ["name", "resident_bytes", "captured_peak_bytes", "points"]
    assert set(data["points"][0]) == {"extra_time", "arena_bytes", "peak_bytes", "recomputed", "offloaded_bytes"}
    with pytest.raises(OutputError):
        found.save(tmp_path / "none" / "f.json")


def test_the_first_point_is_the_plan_that_adds_no_time():
    """Both wide branches first is what captured order does, and what improving it from place to place leaves."""
    step = training_step(3)
    graph = replace(step, ops=tuple(replace(op, pure=False) for op in step.ops))
    plan = make_plan(graph)
    assert plan.arena_bytes < plan.captured_peak_bytes
    found = make_frontier(graph, 3)
    assert (found.points[0].arena_bytes, found.points[0].extra_time) == (plan.arena_bytes, plan.extra_time)
    assert found.graph_sha256 == plan.graph_sha256


def test_eager_is_the_profiles_where_one_is_known():
    graph = blocks(3)
    known = Profile(graph=graph, resident={"parameter": 64 * 2**20})
    alone, told = make_frontier(graph, 2), make_frontier(graph, 2, profile=known)
    assert told.eager_bytes == eager_whole_bytes(known) == known.reservation().reserved
    assert alone.eager_bytes == eager_whole_bytes(graph) < told.eager_bytes


def test_a_row_a_point():
    found = make_frontier(blocks(5), 3)
    text = frontier_text(found)
    assert "blocks_5: captured peak" in text
    assert sum(line[:2] == "  " and line.count(" %") == 2 for line in text.splitlines()) == len(found.points)


def test_the_first_version_is_refused():
    with pytest.raises(FormatError, match="capture the step again"):
        make_frontier(branches())


def test_every_block_checkpointed_is_a_point_beside_them():
    graph = blocks(5)
    found = make_frontier(graph, 3)
    assert found.checkpointed is not None
    assert found.checkpointed.recomputed == 5  # of a block what comes last is handed on, so its product is made again
    assert found.checkpointed.peak_bytes < found.captured_peak_bytes
    assert "every block checkpointed" in frontier_text(found)
    assert any(point.peak_bytes <= found.checkpointed.peak_bytes for point in found.points)


def test_the_strategy_and_the_kinds_are_those_asked_for():
    none = make_frontier(blocks(5), 3, strategy="none")
    assert [(point.extra_time, point.recomputed) for point in none.points] == [(0, 0)]
    assert none.strategy == "none"
    assert all(point.recomputed == 0 for point in make_frontier(blocks(5), 3, kinds=("in_place",)).points)


def test_a_file_comes_back_and_nothing_in_it_is_believed(tmp_path):
    found, path = make_frontier(blocks(5), 3), tmp_path / "f.json"
    found.save(path)
    assert load_frontier(path) == found
    good = json.loads(path.read_text())
    for key, value, told in (
        ("points", [], "points is no list of points"),
        ("points", [{"extra_time": 0.1}], r"points 0: arena_bytes is missing"),
        ("points", [7], r"points 0: extra_time is missing"),
        ("resident_bytes", -1, "resident_bytes is -1"),
        ("name", 3, "name is 3"),
        ("checkpointed", {"extra_time": "much"}, "checkpointed: extra_time is 'much'"),
    ):
        path.write_text(json.dumps({**good, key: value}))
        with pytest.raises(FormatError, match=told):
            load_frontier(path)
    with pytest.raises(InputError):
        load_frontier(tmp_path / "none.json")
