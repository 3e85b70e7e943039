"""What a cell shows of a plan: a verdict first, once, its details folded; and what the faces refuse at once."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from roam_lab import registry
from roam_lab.app.workbench import Workbench
from roam_lab.ir import Graph
from roam_lab.plan import Profile
from roam_lab.report.whatifs import WhatIfs
from tests.notebook_shell import PROFILE, cell, open_shell
from tests.report.graphs import branches

META = """
with torch.device("meta"):
    unreal = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2))
    unreal_batch = (torch.randn(4, 8), torch.randint(0, 2, (4,)))
tested = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Dropout(0.1), torch.nn.Linear(32, 2)).eval()
"""


@pytest.fixture(scope="module")
def shell() -> Any:
    with open_shell() as opened:
        cell(opened, META)
        cell(opened, f"p = {PROFILE}\nfine = %roam plan --order lescea --rewrites none --name fine")
        yield opened


def bench(shell: Any) -> Any:
    return shell.magics_manager.registry["RoamMagics"].bench


def test_the_verdict_comes_first_and_the_details_are_folded(shell: Any) -> None:
    caught = cell(shell, "x = %roam plan p")
    plan = shell.user_ns["x"]
    text, html = (caught.outputs[-1].data[kind] for kind in ("text/plain", "text/html"))
    assert text.startswith(f"small: {plan.headline}, predicted; fits 16 GB")
    assert len(text.splitlines()) <= 10
    open_part = html[: html.index("<details>")]
    assert "<img " in open_part[:60]
    assert plan.headline.replace(">", "&gt;") in open_part
    assert open_part.count("<table>") == 1
    assert "<pre" not in open_part
    assert html.count("<details>") == html.count("</details>") == 4
    assert "planned peak" in html


def test_a_value_is_shown_once_by_its_action_and_well_by_its_name(shell: Any, tmp_path: Path) -> None:
    for line in (
        "%roam profile model batch --loss criterion --fake --name again",
        "%roam plan p",
        "%roam compare",
        "%roam explain fine",
        "%roam fit p --batch-sizes 2 --extra-time 0",
        "%roam run fine --steps 2",
        "%roam view fine",
        f"%roam report fine {tmp_path}/fine.html",
    ):
        caught = cell(shell, line)
        assert not any(raw in caught.stdout for raw in ("Plan(", "Profile(", "object at", "Fit(", "Explanation(", "'/"))
        assert "Out[" not in caught.stdout, line  # a terminal prints its prompt, whatever follows
    for name, words in (("fine", "predicted"), ("p", "whole step, eager, predicted"), ("plan_of_p", "predicted")):
        cell(shell, "plan_of_p = p.plan()")
        assert words in cell(shell, name).outputs[-1].data["text/plain"]
    cell(shell, "%roam plan p")
    assert shell.user_ns["_"].graph.name == "small"  # it is the cell's value all the same
    caught = cell(shell, "rows = %roam compare\nrows")
    assert len(caught.outputs) == 1
    assert "object at" not in cell(shell, "rows").stdout
    assert isinstance(shell.user_ns["rows"], WhatIfs)


def test_what_is_not_ours_is_shown_as_ever(shell: Any) -> None:
    assert "Verification" not in cell(shell, "1 + 1").stdout
    assert "Out[0]: 2" in cell(shell, "1 + 1").stdout
    cell(shell, "%unload_ext roam_lab")
    assert "Plan('small'" in cell(shell, "fine").stdout
    cell(shell, "%load_ext roam_lab")
    cell(shell, f"p = {PROFILE}\nfine = %roam plan --order lescea --rewrites none --name fine")


def test_a_plan_may_stand_before_the_file(shell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "wrote page.html" in cell(shell, "x = %roam report fine page.html").stdout
    assert "wrote fine.html" in cell(shell, "x = %roam report fine").stdout
    assert shell.user_ns["x"] == "fine.html"
    assert "lescea" in Path("fine.html").read_text()
    assert "wrote out.csv" in cell(shell, "x = %roam export fine out.csv").stdout
    assert "give one plan and one file" in cell(shell, "%roam report a b c.html").stderr
    assert "there is no what-if 'fin'; did you mean 'fine'?" in cell(shell, "%roam report fin").stderr
    assert "is there already" in cell(shell, "%roam report fine").stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("%roam profile unreal batch --loss criterion", "the model is on the meta device and holds no weights"),
        ("%roam profile unreal batch --loss criterion --fake --timing", "so it cannot be timed"),
        ("%roam profile model unreal_batch --loss criterion", "the batch is on the meta device and holds no values"),
        ("%roam verify unreal", "so it cannot be verified"),
        ("%roam run unreal", "so it cannot be run"),
        ("%roam verify unreal_batch", "the batch is on the meta device and holds no values"),
        ("%roam profile model batch", "too many positional arguments), and no loss is given; give loss= (--loss NAME"),
        ("%roam profile model '{\"x\": 1}'", "and no loss is given; give loss= (--loss NAME"),
        (
            "%roam profile model 'batch[0]'",
            "Sequential returns a tensor of shape (4, 2), which is no loss, and none is",
        ),
    ],
)
def test_what_cannot_be_done_is_one_sentence_at_once(shell: Any, line: str, message: str) -> None:
    if "unreal" not in bench(shell).profiles:
        cell(shell, "a = %roam profile unreal batch --loss criterion --fake --name unreal")
        cell(shell, "a = %roam profile model unreal_batch --loss criterion --fake --name unreal_batch")
    began = time.perf_counter()
    caught = cell(shell, line)
    assert message in caught.stderr
    assert caught.stderr.count("\n") == 1
    assert caught.stdout == ""
    assert time.perf_counter() - began < 5  # nothing was captured


def test_a_model_in_eval_mode_is_remarked_upon(shell: Any) -> None:
    caught = cell(shell, "x = %roam profile tested batch --loss criterion --fake")
    for output in caught.outputs:
        assert "The model is in eval mode" in output.data["text/plain"]
        assert "call model.train()" in output.data["text/html"]
    assert "eval mode" not in cell(shell, "%roam plan fine").stdout


def test_a_rival_that_is_worse_has_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan keeps the captured order where another is worse; the row of the other says so."""
    monkeypatch.setattr(registry, "_REGISTRY", registry._Registry(dict(registry._REGISTRY.entries)))
    registry.strategies()

    @registry.strategy("order", "worst", source="this test")
    def worst(graph: Graph) -> tuple[int, ...]:
        """Both wide ops first."""
        return (0, 1, 3, 2, 4, 5)

    known = branches()
    source, wide_a, wide_b, narrow_a, narrow_b, join = known.ops
    narrow = replace(narrow_a, after=(1,)), replace(narrow_b, after=(3,))
    ops = (source, wide_a, narrow[0], wide_b, narrow[1], replace(join, after=(2, 4)))
    bench = Workbench()
    bench.adopt("b", Profile(graph=replace(known, ops=ops)))
    kept = bench.plan_named(None, "b", order="captured")
    row = bench.plan_named(None, "b", order="worst")
    assert [one.name for one in bench.what_ifs] == ["captured", "worst: captured kept"]
    assert row.plan.order == kept.plan.order
