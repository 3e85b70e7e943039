"""The list of what-ifs: names, the pinned baseline, deltas."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from roam_lab.errors import InputError
from roam_lab.plan import Plan, make_plan
from roam_lab.report.sparkline import spark_image
from roam_lab.report.units import bytes_text, change_text
from roam_lab.report.whatif_figures import figures_of
from roam_lab.report.whatif_html import tables_html
from roam_lab.report.whatif_table import COLUMNS, SORTS, arranged, highest_of
from roam_lab.report.whatifs import WhatIf, WhatIfs
from tests.plan.graphs import pumpkin
from tests.plan.training_step import training_step
from tests.rewrite.graphs import blocks as rewritable


@pytest.fixture(scope="module")
def plans() -> dict[str, Plan]:
    return {name: make_plan(training_step(3), order=name) for name in ("captured", "auto")}


def cell(rows: WhatIfs, name: str, column: str) -> str:
    (line,) = (line for line in rows.table() if line[0].removeprefix("★ ") == name)
    return line[COLUMNS.index(column)]


def test_names_are_made_and_kept_apart(plans: dict[str, Plan]) -> None:
    rows = WhatIfs()
    assert [rows.add(plans["auto"]).name, rows.add(plans["auto"], node_limit=64).name] == ["auto", "auto-64"]
    assert rows.add(make_plan(pumpkin())).name == "auto (2)"
    assert rows.add(plans["auto"], "mine").name == "mine"
    assert len(rows) == 4


def test_the_same_plan_is_added_once(plans: dict[str, Plan]) -> None:
    rows = WhatIfs()
    assert rows.add(plans["auto"]) is rows.add(plans["auto"])
    assert len(rows) == 1


def test_a_name_given_again_is_replaced(plans: dict[str, Plan]) -> None:
    rows = WhatIfs()
    rows.add(plans["captured"], "a")
    rows.add(plans["auto"], "a")
    assert [row.plan.order_strategy for row in rows] == ["auto"]


def test_deltas_are_against_the_pinned_baseline(plans: dict[str, Plan]) -> None:
    rows = WhatIfs()
    rows.add(plans["captured"])
    rows.add(plans["auto"])
    rows.pin("captured")
    assert rows.baseline is rows["captured"]
    for figure in ("step", "peak", "arena"):
        assert cell(rows, "captured", f"Δ {figure}") == ""
        assert cell(rows, "auto", f"Δ {figure}").startswith("-")
    rows.pin("auto")
    for figure in ("step", "peak", "arena"):
        assert cell(rows, "captured", f"Δ {figure}").startswith("+")
    assert [line[0] for line in rows.table()] == ["eager PyTorch", "captured", "★ auto"]
    rows.remove("auto")
    assert rows.table()[0][0] == "★ eager PyTorch"
    rows.remove("captured")
    assert rows.baseline is None
    assert rows.table() == []


def test_until_a_row_is_pinned_the_baseline_is_eager_as_the_headline_tells_it() -> None:
    plan = make_plan(replace(training_step(3), eager_peak_bytes=2**30))  # eager keeps more than the captured order
    assert plan.eager_bytes == 2**30 > plan.captured_peak_bytes
    rows = WhatIfs()
    rows.add(plan, "a")
    eager = rows.baseline
    assert eager is not None
    assert eager.figures is not None
    assert eager.figures.step_bytes == plan.resident_bytes + plan.eager_bytes
    change = change_text(plan.resident_bytes + plan.eager_bytes, plan.resident_bytes + plan.arena_bytes)
    assert cell(rows, "a", "Δ step") == change
    assert plan.headline.endswith(change)
    assert (cell(rows, "eager PyTorch", "peak"), cell(rows, "eager PyTorch", "arena")) == ("1.00 GiB", "")
    assert (cell(rows, "a", "Δ arena"), cell(rows, "eager PyTorch", "Δ step")) == ("", "")
    assert highest_of(rows.lines()) == max(eager.figures.curve)  # its sparkline is behind those of the others
    rows.pin("a")
    assert cell(rows, "eager PyTorch", "Δ step").startswith("+")
    rows.unpin("")
    assert rows.baseline == eager


def test_eager_is_of_the_step_as_it_was_profiled(plans: dict[str, Plan]) -> None:
    rows = WhatIfs()
    rows.add(make_plan(training_step(5)), "large", asked={"batch": 16})
    rows.add(plans["auto"], "small")
    eager = rows.eager_of("")
    assert eager is not None
    assert eager.figures is not None
    assert (eager.figures.eager_bytes, dict(eager.asked)) == (plans["auto"].eager_bytes, {})
    rows.add(plans["auto"], "eager PyTorch")  # a name that is taken
    assert next(line[0] for line in rows.table()) == "★ eager PyTorch (2)"


def test_what_was_measured_is_shown(plans: dict[str, Plan]) -> None:
    rows = WhatIfs()
    rows.add(plans["auto"])
    assert cell(rows, "auto", "measured") == ""
    rows.measured("auto", 3 * 2**20, 0.8, True)
    assert cell(rows, "auto", "measured") == "3.0 MiB, same bits"
    assert cell(rows, "auto", "step time") == "0.80 x eager"


@pytest.mark.parametrize("act", [WhatIfs.pin, WhatIfs.remove, WhatIfs.__getitem__])
def test_an_unknown_name_is_refused(act: object, plans: dict[str, Plan]) -> None:
    rows = WhatIfs()
    rows.add(plans["auto"])
    with pytest.raises(InputError, match="no what-if 'x'; there are: auto"):
        act(rows, "x")  # type: ignore[operator]


def test_each_delta_is_of_the_figure_before_it(plans: dict[str, Plan]) -> None:
    rows = WhatIfs()
    before, after = rows.add(plans["captured"]).plan, rows.add(plans["auto"]).plan
    rows.pin("captured")
    assert before.graph is not None
    resident = before.graph.resident_bytes
    sizes = {
        "step": (resident + before.arena_bytes, resident + after.arena_bytes),
        "peak": (before.peak_bytes, after.peak_bytes),
        "arena": (before.arena_bytes, after.arena_bytes),
    }
    assert len({change_text(*pair) for pair in sizes.values()}) > 1  # one for all would be wrong
    for figure, pair in sizes.items():
        assert cell(rows, "auto", f"Δ {figure}") == change_text(*pair)


def test_the_strategy_that_rewrote_is_said_once(plans: dict[str, Plan]) -> None:
    """A column of one word took the place of the sentence at the right, which was cut off."""
    rows = WhatIfs()
    rows.add(plans["auto"], "plain")
    assert "rewritten" not in tables_html(rows)
    slow = make_plan(rewritable(4), extra_time=0.2, alignment=1)
    rows.add(slow, "slow")
    html = tables_html(rows)
    assert ">rewritten<" not in html
    assert "All plans: order auto, layout auto; those that may add time rewritten by auto." in html
    rows.put(replace(rows["slow"], name="free", held=None, figures=replace(figures_of(slow), rewritten="free")))
    assert "those that may add time rewritten by auto." in tables_html(rows)
    rows.put(replace(rows["slow"], name="other", held=None, figures=replace(figures_of(slow), rewritten="greedy")))
    assert ">rewritten<" in tables_html(rows)


def test_each_model_has_a_table_and_a_baseline_of_its_own(plans: dict[str, Plan]) -> None:
    rows, other = WhatIfs(), make_plan(training_step(5), order="captured")
    rows.add(plans["captured"], "a", model="small")
    rows.add(other, "b", model="large")
    rows.add(make_plan(training_step(5)), "c", model="large")
    rows.pin("a")
    rows.pin("b")
    assert rows.models == ["small", "large"]
    assert rows.baseline_of("large") is rows["b"]
    assert (cell(rows, "b", "Δ peak"), cell(rows, "c", "Δ peak")[:1]) == ("", "-")
    assert [row.name for row in rows.of("large")] == ["b", "c"]
    assert rows.of("large").baseline is rows["b"]
    small, large = rows.text().split("\n\n")
    assert small.startswith("small\n")
    assert large.startswith("large\n")
    assert "★ a" in small
    assert "★ b" in large
    rows.remove("b")
    eager = rows.baseline_of("large")
    assert (eager and eager.name, rows.baseline_of("small")) == ("eager PyTorch", rows["a"])


def test_the_best_proven_bound_is_every_plans_of_the_graph(plans: dict[str, Plan]) -> None:
    graph = training_step(3)
    weak = replace(make_plan(graph, order="captured", rewrites=()), lower_bound_bytes=1, certificate=None)
    strong = make_plan(graph, rewrites=())
    rows = WhatIfs()
    rows.add(weak, "weak")
    assert cell(rows, "weak", "gap") != "optimal"
    rows.add(strong, "strong")
    proven = rows.proven(rows["weak"])
    assert (proven.lower_bound_bytes, proven.certificate) == (strong.lower_bound_bytes, strong.certificate)
    assert cell(rows, "weak", "gap") == f"{100 * (weak.peak_bytes / strong.lower_bound_bytes - 1):.2f} %"
    assert rows["weak"].plan is weak
    rows.add(replace(weak, order=strong.order, peak_bytes=strong.lower_bound_bytes), "as good")
    assert rows.proven(rows["as good"]).optimal
    assert cell(rows, "as good", "gap") == "optimal"
    rows.add(replace(strong, graph_sha256="0" * 64, lower_bound_bytes=strong.peak_bytes), "of another graph")
    assert rows.proven(rows["weak"]) == proven


def test_a_better_plan_of_the_same_step_takes_no_more_time(plans: dict[str, Plan]) -> None:
    rows = WhatIfs()
    rows.add(plans["captured"])
    assert rows.better(rows["captured"]) is None
    rows.add(plans["auto"])
    assert rows.better(rows["captured"]) is rows["auto"]
    assert rows.better(rows["auto"]) is None
    rows.add(replace(plans["auto"], arena_bytes=1, extra_time=0.1), "slower")
    assert rows.better(rows["auto"]) is None
    rows.add(replace(plans["auto"], arena_bytes=1, graph_sha256="0" * 64), "of another step")
    assert rows.better(rows["auto"]) is None


def test_rows_are_sorted_and_filtered(plans: dict[str, Plan]) -> None:
    rows = WhatIfs()
    for name in ("captured", "auto"):
        rows.add(plans[name])
    rows.put(WhatIf("lost", None, error="no room"))
    names = lambda **how: [row.name for row in arranged(rows, **how)]  # noqa: E731
    assert names() == ["captured", "auto", "lost"]
    assert names(sort="arena") == ["auto", "captured", "lost"]
    assert names(sort="arena", down=True) == ["captured", "auto", "lost"]
    assert names(words="CAPT") == ["captured"]
    assert names(words="no room") == ["lost"]
    assert names(words="list captured") == names(words="zzz") == []
    assert set(SORTS) >= {"whole step", "peak", "arena", "more time", "batch", "sequence", "name"}


def test_a_row_without_a_plan_says_so() -> None:
    rows = WhatIfs()
    rows.put(WhatIf("far", None, error="no room"))
    with pytest.raises(InputError, match="the plan of 'far' is not here, only its figures; make it with %roam plan"):
        rows.proven(rows["far"])
    assert rows["far"].in_words() == "no room"
    assert rows.to_data() == [{"name": "far", "model": "", "baseline": False, "asked": {}, "error": "no room"}]


def test_a_plan_is_named_by_how_it_was_made(plans: dict[str, Plan]) -> None:
    rows = WhatIfs()
    row = rows.add(replace(plans["auto"], extra_time=0.05, layout_strategy="best_fit"), "fine", model="vit")
    assert row.figures is not None
    step = bytes_text(row.figures.step_bytes or 0)
    assert row.in_words() == f"vit: auto/best_fit, +5 %, whole step {step}, not verified"
    assert rows.measured("fine", 1, 1.0, True).in_words().endswith("verified")
    assert rows.measured("fine", 1, 1.0, False).in_words().endswith("other bits than eager")


def test_a_sparkline_is_an_image_that_cleaned_html_keeps() -> None:
    drawn = spark_image([1, 5, 2], 5, [5, 5, 5])
    data = re.fullmatch(r'<img alt="memory over the step, at most 5 B" .*src="data:image/svg\+xml;base64,(.*)">', drawn)
    assert data is not None
    root = ElementTree.fromstring(b64decode(data[1]))
    assert [path.get("stroke-dasharray") for path in root] == [None, "2 2"]
    assert "currentColor" not in b64decode(data[1]).decode()  # which is black in an image, on a dark page, too
    assert spark_image([], 5) == spark_image([1], 0) == ""
