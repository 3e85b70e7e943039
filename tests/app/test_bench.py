"""`roam bench`: every strategy on a graph, errors as rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from roam_lab.app.bench import bench, bench_text
from roam_lab.cli import main
from roam_lab.errors import UnknownStrategyError
from roam_lab.ir import save_graph
from roam_lab.registry import strategies
from tests.plan.graphs import empty, pumpkin


def test_every_strategy_has_a_row() -> None:
    rows = list(bench(pumpkin(), time_limit=2.0))
    assert {row["order"] for row in rows} == {entry.name for entry in strategies("order")}
    assert {row["layout"] for row in rows} == {entry.name for entry in strategies("layout")}
    assert not any("error" in row for row in rows)
    best = min(row["peak_bytes"] for row in rows)
    assert next(row for row in rows if row["order"] == "auto")["peak_bytes"] == best
    assert len(bench_text(rows).splitlines()) == len(rows) + 1


def test_some_only() -> None:
    rows = list(bench(pumpkin(), orders=["list", "captured"]))
    assert [(row["order"], row["layout"]) for row in rows] == [("list", "auto"), ("captured", "auto")]
    assert [row["layout"] for row in bench(pumpkin(), layouts=["best_fit"])] == ["best_fit"]
    with pytest.raises(UnknownStrategyError, match="did you mean 'list'"):
        list(bench(pumpkin(), orders=["lits"]))


def test_a_graph_without_ops_has_a_line() -> None:
    assert "optimal" in bench_text(list(bench(empty(), orders=["list"])))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "g.json"
    save_graph(pumpkin(), path)
    assert main(["bench", str(path), "--orders", "list,captured", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["order"] for row in rows] == ["list", "captured"]
    assert main(["bench", str(path), "--orders", "list"]) == 0
    assert "pumpkin" in capsys.readouterr().out
