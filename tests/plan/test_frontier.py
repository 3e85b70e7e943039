"""A frontier's points are laid out, none dominated, and told in rows and JSON."""

import json

import pytest

from roam_lab.errors import FormatError, OutputError
from roam_lab.plan import make_plan
from roam_lab.plan.frontier import make_frontier
from roam_lab.report.frontier import frontier_text
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


def test_a_row_a_point():
    found = make_frontier(blocks(5), 3)
    text = frontier_text(found)
    assert "blocks_5: captured peak" in text
    assert sum(line[:2] == "  " and line.count(" %") == 2 for line in text.splitlines()) == len(found.points)


def test_the_first_version_is_refused():
    with pytest.raises(FormatError, match="capture the step again"):
        make_frontier(branches())
