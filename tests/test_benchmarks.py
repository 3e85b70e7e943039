"""The planning benchmark: its processes, what it keeps between runs, its page and its pictures."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from roam_lab import registry
from roam_lab.ir import Graph, Op, Storage, save_graph
from tests.plan.graphs import pumpkin

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True, scope="module")
def registry_as_before():
    """The rivals that a benchmark registers are gone when its tests have ended."""
    before = {(entry.room, entry.name): entry for entry in registry.strategies()}
    yield
    registry._REGISTRY.entries = before


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    """The benchmark's files find each other as they do when one of them is run."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def one_run(**job):
    words = [sys.executable, ROOT / "benchmarks" / "one_run.py", json.dumps(job)]
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture
def graph_file(tmp_path):
    save_graph(pumpkin(), tmp_path / "g.json")
    return str(tmp_path / "g.json")


def test_a_run_on_a_graph_is_raw_and_judged(graph_file):
    row = one_run(kind="graph", file=graph_file, order="captured", layout="best_fit")
    assert row["peak_bytes"] == row["captured_peak_bytes"] == 308
    assert row["judged"] == "accepted"
    better = one_run(kind="graph", file=graph_file, order="auto", layout="auto")
    assert better["lower_bound_bytes"] == better["peak_bytes"] == 116


def test_what_a_library_prints_is_no_row(graph_file, tmp_path, monkeypatch):
    loud = tmp_path / "sitecustomize.py"
    loud.write_text(
        "import roam_lab.order.bound as bound, os\nfound = bound.lower_bound\n"
        "def lower_bound(*given):\n    os.write(1, b'Running, without an end')\n    return found(*given)\n"
        "bound.lower_bound = lower_bound\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    job = {"kind": "graph", "file": graph_file, "order": "auto", "layout": "best_fit"}
    words = [sys.executable, ROOT / "benchmarks" / "one_run.py", json.dumps(job)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["peak_bytes"] == 116
    assert "Running, without an end" in done.stderr


def test_a_run_on_an_instance_is_judged(tmp_path):
    file = tmp_path / "two.csv"
    file.write_text("id,lower,upper,size\na,0,2,100\nb,1,3,50\nc,3,4,10\nd,0,1,20\n")
    row = one_run(kind="instance", file=str(file), order=None, layout="best_fit")
    assert (row["peak_bytes"], row["arena_bytes"], row["buffers"]) == (150, 150, 4)
    assert row["judged"] == "accepted"


def test_a_failing_run_is_a_row(graph_file):
    row = one_run(kind="graph", file=graph_file, order="lisst", layout="auto")
    assert row == {"error": "there is no order strategy 'lisst'; did you mean 'list'?"}


def test_inductor_itself_runs(graph_file):
    row = one_run(kind="graph", file=graph_file, order="inductor", layout="best_fit")
    import rivals

    if reason := rivals.missing(["inductor"]):
        assert row == {"error": f"inductor is not here: {reason['inductor']}"}
        pytest.skip(row["error"])
    assert row.get("peak_bytes") == 116, row


def test_what_is_not_installed_says_so(graph_file, monkeypatch, tmp_path):
    monkeypatch.setenv("ROAM_RIVALS", str(tmp_path / "none"))
    row = one_run(kind="graph", file=graph_file, order="list", layout="executorch_greedy")
    assert row["error"].startswith("executorch_greedy is not here: executorch is not in ")
    assert row["error"].endswith("run `make rivals`")


def test_rows_are_kept_while_the_planning_code_is_the_same(tmp_path, monkeypatch, graph_file):
    import runner

    job = runner.Job("graph", "pumpkin", graph_file, "list", "best_fit", 5.0)
    path, seen = str(tmp_path / "rows.json"), []
    for _ in range(2):
        runner.run_all([job], runner.Results(path), 1, seen.append)
    assert len(seen) == 1
    assert seen[0]["peak_bytes"] == 116
    assert seen[0]["peak_resident_bytes"] > 2**20
    other = dataclasses.replace(job, time_limit=6.0)
    assert other.key != job.key
    monkeypatch.setattr(runner, "sources", lambda: "other")
    assert runner.Results(path).rows == {}
    assert set(runner.Results(path, keep=True).rows) == {job.key}


def test_a_process_that_does_not_end_is_killed(monkeypatch, graph_file):
    import runner

    monkeypatch.setattr(runner, "SPARE_SECONDS", 0.01)
    row = runner.run_job(runner.Job("graph", "pumpkin", graph_file, "list", "best_fit", 0.001))
    assert row["error"].startswith("killed after 0 s")


def row_of(name, order, layout, peak, **more):
    return {
        "key": f"{name}/{order}/{layout}", "kind": "graph", "name": name, "order": order, "layout": layout, "ops": 7,
        "time_limit": 30.0, "node_limit": None, "captured_peak_bytes": 300, "peak_bytes": peak, "arena_bytes": peak,
        "lower_bound_bytes": 0, "order_seconds": 2.0, "layout_seconds": 1.0, "timed_out": False, "leaves": None,
        "peak_resident_bytes": 2**20, "judged": "accepted", **more,
    }  # fmt: skip


def test_the_page_says_gaps_means_and_failures(tmp_path, monkeypatch):
    import planning_page

    rows = [
        row_of("g_adamw", "auto", "auto", 100, lower_bound_bytes=100),
        row_of("g_adamw", "model_ilp", "auto", 150, timed_out=True),
        row_of("g_adamw", "captured", "caching_allocator", 200),
        row_of("g_adamw", "model_ilp", "model_ilp", 125, order_seconds=29.0),
        {"key": "bad", "time_limit": None, "kind": "graph", "name": "g", "error": "killed after 9 s"},
        row_of("A", None, "boxing", 1_048_576, kind="instance", arena_bytes=2 * 1_048_576),
    ]
    machine = {"processor": "cpu", "cores": 2}
    data = {"rows": rows, "machine": machine, "date": "2026-01-01T", "commit": "c", "versions": {"python": "3"}}
    (tmp_path / "planning.json").write_text(json.dumps(data))
    monkeypatch.setattr(planning_page, "SCALING", tmp_path / "none.json")
    earlier = {**data, "date": "2025-12-31T", "rows": [{**rows[0], "peak_bytes": 99, "layout_seconds": 5.0}]}
    (tmp_path / "earlier.json").write_text(planning_page.as_earlier(earlier))
    monkeypatch.setattr(planning_page, "EARLIER", tmp_path / "earlier.json")
    page = planning_page.page(str(tmp_path / "planning.json"))
    assert "The run of 2025-12-31, commit c, on cpu, 2 cores;" in page
    assert "Of 1 results that both have, 1 have a higher peak now, and 0 a larger arena." in page
    assert "| 7.00 | 3.00 |" in page
    assert "| auto | **0** |" in page
    assert "| model_ilp | 50.00* |" in page
    assert "| boxing | 100.00 |" in page
    assert (
        "| arena against eager PyTorch (captured order, caching allocator) | -35.7 % | not run | -50.0 % (1 graph) |"
        in page
    )
    assert "10.0 x (median of 1 graph;" in page
    assert "- bad: killed after 9 s" in page
    assert "The judge accepted every one." in page
    rows[0]["judged"] = "REJECTED: something"
    (tmp_path / "planning.json").write_text(json.dumps(data))
    assert "REFUSED by the judge: g_adamw/auto/auto." in planning_page.page(str(tmp_path / "planning.json"))


def test_the_chart_is_a_picture():
    from line_chart import line_chart

    svg = line_chart("A <b>", "x", "y", {"one & two": [(1000, 0.5), (100_000, 60)], "flat": [(1000, 1), (2000, 1)]})
    drawn = ElementTree.fromstring(svg)
    assert "one & two" in "".join(drawn.itertext())
    circles = [element for element in drawn.iter() if element.tag.endswith("circle")]
    assert len(circles) == 4
    assert all(0 < float(circle.get("cx")) < 760 and 0 < float(circle.get("cy")) < 420 for circle in circles)
    heights = [float(circle.get("cy")) for circle in circles]
    assert heights[0] > heights[1]  # more is higher


def test_what_was_measured_is_what_the_pages_say(monkeypatch, tmp_path):
    import fusing

    from benchmarks import budget_page

    results = json.loads(fusing.RESULTS.read_text())
    assert fusing.page(results).strip() == (ROOT / "docs" / "fusing.md").read_text().strip()
    assert all(row["same_bits"] for row in results["rows"])
    monkeypatch.setattr(budget_page, "DOCS", tmp_path)
    budget_page.page()
    for made in tmp_path.iterdir():
        assert made.read_text() == (ROOT / "docs" / made.name).read_text()


def test_checkpointing_draws_its_masks_again():
    """An op that draws into what another has made becomes one with it, and pure."""
    from benchmarks.budget_rivals import repeatable

    ops = (
        Op("empty_like", "t", (), (0,), phase="forward", pure=True, time_us=2.0),
        Op("bernoulli_", "t", (0,), (), writes=(0,), phase="forward", pure=False, random=True, time_us=3.0),
        Op("mul", "t", (1,), (1,), (0,), phase="forward", pure=True, time_us=5.0),
    )
    first, second, third = repeatable(Graph("g", (Storage(8), Storage(8)), ops)).ops
    assert (first.time_us, first.pure, first.random) == (5.0, True, None)
    assert (second.time_us, second.writes) == (0.0, ())
    assert third == ops[2]
