"""A frontier's points are laid out, none dominated, and told in rows and JSON."""

import json
from dataclasses import replace

import pytest

from roam_lab.errors import FormatError, InputError, OutputError
from roam_lab.ir import captured_order, fingerprint, live_peak
from roam_lab.plan import Profile, make_plan
from roam_lab.plan.alternatives import alternatives
from roam_lab.plan.frontier import LaidOutPoint, _spread, make_frontier
from roam_lab.plan.frontier_json import load_frontier
from roam_lab.plan.planner import ALIGNMENTS
from roam_lab.plan.rewriting import Placing, place
from roam_lab.plan.whole_step import eager_whole_bytes
from roam_lab.registry import find
from roam_lab.report.frontier import frontier_text
from roam_lab.report.units import bytes_text
from roam_lab.rewrite.checkpoint import every_block
from roam_lab.rewrite.frontier import frontier
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
    alone, found = make_frontier(graph, 2), make_frontier(graph, 2, profile=known)
    assert found.eager_bytes == eager_whole_bytes(known) == known.reservation().reserved
    assert alone.eager_bytes == eager_whole_bytes(graph) < found.eager_bytes


def test_a_row_a_point_against_what_headlines_call_eager():
    graph = replace(blocks(5), eager_peak_bytes=2**40)
    found = make_frontier(graph, 3)
    text = frontier_text(found)
    eager = graph.resident_bytes + 2**40
    assert make_plan(graph).headline.startswith("1,024")
    reserved = bytes_text(found.eager_bytes)
    assert f"blocks_5: eager, whole step {bytes_text(eager)}, predicted (its allocator reserves {reserved})" in text
    assert sum(line[:2] == "  " and line.count(" %") == 2 for line in text.splitlines()) == len(found.points)
    last = found.resident_bytes + found.points[-1].arena_bytes
    assert f"{100 * last / eager:.1f} %" in text
    assert "of eager" in text
    assert "captured" not in text


def test_eagers_live_peak_is_the_largest_that_is_known():
    graph = blocks(3)
    captured = live_peak(graph, captured_order(graph)).bytes
    assert make_frontier(graph, 2).eager_peak_bytes == captured
    more = Profile(graph=graph, eager_graph=blocks(6))
    assert make_frontier(graph, 2, profile=more).eager_peak_bytes == more.eager_bytes > captured


def test_where_eagers_step_is_not_known_it_is_the_captured_order():
    found = replace(make_frontier(blocks(5), 3), eager_bytes=None, eager_peak_bytes=None)
    text = frontier_text(found)
    whole = found.resident_bytes + found.captured_peak_bytes
    assert f"blocks_5: captured order, whole step {bytes_text(whole)}, predicted; times" in text
    assert "of captured" in text
    assert f"{100 * (found.resident_bytes + found.points[-1].arena_bytes) / whole:.1f} %" in text


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
    for key, value, text in (
        ("points", [], "points is no list of points"),
        ("points", [{"extra_time": 0.1}], r"points 0: arena_bytes is missing"),
        ("points", [7], r"points 0: extra_time is missing"),
        ("resident_bytes", -1, "resident_bytes is -1"),
        ("name", 3, "name is 3"),
        ("checkpointed", {"extra_time": "much"}, "checkpointed: extra_time is 'much'"),
    ):
        path.write_text(json.dumps({**good, key: value}))
        with pytest.raises(FormatError, match=text):
            load_frontier(path)
    with pytest.raises(InputError):
        load_frontier(tmp_path / "none.json")


def test_every_field_is_that_of_the_plans_behind_it():
    graph = blocks(12)
    found = make_frontier(graph)
    placing = Placing(find("layout", "auto"), find("layout", "auto").accept({}), 64, "cpu")
    known = frontier(graph, 12)
    laid_out = [placing.place(point.rewritten()) for point in known]
    rows = [
        LaidOutPoint(
            point.extra_time, one.layout.arena_bytes, one.peak_bytes, one.rewritten.recomputed,
            one.rewritten.offloaded_bytes,
        )
        for point, one in zip(known, laid_out, strict=True)
    ]  # fmt: skip
    assert set(found.points[1:]) <= set(rows)
    assert len(found.points) > 8  # those of twelve that take less than the one before
    assert (found.name, found.resident_bytes, found.times) == ("blocks_12", 12 * 50, "of the graph")
    assert (found.strategy, found.graph_sha256) == ("auto", fingerprint(graph))
    assert found.captured_peak_bytes == live_peak(graph, captured_order(graph)).bytes
    assert found.alternatives == alternatives(graph)
    block = every_block(graph)
    assert found.checkpointed.extra_time == block.extra_time
    assert found.checkpointed.peak_bytes == block.peak_bytes
    bounded = [known[at] for at in (0, 3, 6, 8, 11)] if len(known) == 12 else _spread(known)
    assert [one.extra_time for one in found.bounds] == [point.extra_time for point in bounded]
    for bound, point in zip(found.bounds, bounded, strict=True):
        assert bound.peak_bytes <= point.peak_bytes
    assert make_frontier(replace(graph, times="measured"), 2).times == "measured"
    untimed = replace(graph, ops=tuple(replace(op, time_us=None) for op in graph.ops))
    assert make_frontier(untimed, 2).times == "roofline: A100 SXM 80GB, 2 us an op"


@pytest.mark.parametrize(
    ("count", "chosen"),
    [
        (1, [0]),
        (2, [0, 1]),
        (4, [0, 1, 2, 3]),
        (5, [0, 1, 2, 3, 4]),
        (6, [0, 1, 2, 4, 5]),
        (9, [0, 2, 4, 6, 8]),
        (101, [0, 25, 50, 75, 100]),
    ],
)
def test_bounds_are_proven_for_the_ends_and_three_between(count, chosen):
    assert _spread(range(count)) == chosen


def test_a_frontier_has_a_dozen_points_unless_asked_for_others():
    graph = blocks(9)
    assert make_frontier(graph) == make_frontier(graph, 12) != make_frontier(graph, 13)


def test_points_of_a_step_on_cuda_are_laid_out_as_cuda_does():
    step = blocks(3)
    storages = tuple(
        one if one.always_there else replace(one, region="op" if at % 2 else "arena")
        for at, one in enumerate(step.storages)
    )
    there = replace(step, storages=storages, environment={"device": "cuda:0"})
    for graph, device in ((there, "cuda"), (replace(there, environment={"device": "cpu"}), "cpu")):
        found = make_frontier(graph, 3)
        placed = place(frontier(graph, 3)[-1].rewritten(), alignment=ALIGNMENTS[device], device=device)
        assert found.points[-1].arena_bytes == placed.layout.arena_bytes
