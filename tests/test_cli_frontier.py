"""`roam frontier` and what follows from it on the command line: its figure, a report, a rewrite strategy by name."""

import json

import pytest

from roam_lab.cli import main
from roam_lab.ir import save_graph
from tests.rewrite.graphs import blocks


@pytest.fixture
def graph_file(tmp_path):
    path = tmp_path / "blocks.json.gz"
    save_graph(blocks(4), path)
    return str(path)


def test_points_a_figure_and_a_report_with_it(graph_file, tmp_path, capsys):
    points, figure, plan = (str(tmp_path / name) for name in ("f.json", "f.svg", "p.roam.json"))
    assert main(["frontier", graph_file, "--points", "3", "-o", points]) == 0
    assert "every block checkpointed" in capsys.readouterr().out.lower()
    assert main(["frontier", graph_file, "--points", "3", "--rewrite", "checkpoint", "-o", figure, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["strategy"] == "checkpoint"
    assert "roam-pic" in (tmp_path / "f.svg").read_text()
    words = ["--extra-time", "0.3", "--rewrite", "greedy", "--set", "rewrite.effort=500", "-o", plan, "--json"]
    assert main(["plan", graph_file, *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rewrite_strategy"] == "greedy"
    assert sum(one["bytes"] for one in found["savings"]) == found["captured_peak_bytes"] - found["peak_bytes"]
    assert main(["report", plan, "-o", str(tmp_path / "r.html"), "--frontier", points]) == 0
    assert "Memory against extra time" in (tmp_path / "r.html").read_text()


def test_bad_input_is_one_line(graph_file, tmp_path, capsys):
    for words, text in (
        (["plan", graph_file, "--rewrite", "gredy"], "there is no rewrite strategy 'gredy'; did you mean 'greedy'?"),
        (["plan", graph_file, "--set", "rewrite.efort=5"], "did you mean 'effort'?"),
        (["frontier", graph_file, "--rewrite", "bogus"], "there is no rewrite strategy 'bogus'"),
        (
            ["report", graph_file, "-o", str(tmp_path / "r.html"), "--frontier", graph_file],
            "points is no list of points",
        ),
    ):
        assert main(words) == 2
        err = capsys.readouterr().err
        assert text in err
        assert err.count("\n") == 1
