"""The panel without a browser: callbacks, sentences, and what ends with it."""

from __future__ import annotations

import html
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from roam_lab.app.host import Host
from roam_lab.app.session import profile
from roam_lab.app.workbench import Made, Workbench
from roam_lab.errors import InfeasibleError, InputError
from roam_lab.lab import panel as panel_module
from roam_lab.lab.figure_area import load_bokeh
from roam_lab.lab.head import head_html
from roam_lab.lab.panel import Lab
from roam_lab.lab.shown import row_shown
from roam_lab.report.headline import gains_nothing
from roam_lab.report.whatifs import WhatIf


@pytest.fixture
def bench() -> Workbench:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2))
    batch = (torch.randn(4, 8), torch.randint(0, 2, (4,)))
    made = Made(model, batch, torch.optim.AdamW(model.parameters()), torch.nn.CrossEntropyLoss())
    bench = Workbench()
    bench.capture_named("small", made, fake=True)
    return bench


@pytest.fixture
def panel(bench: Workbench, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setattr(
        panel_module, "host", lambda: Host("jupyter", True, getattr(request, "param", False), "as a test has it")
    )
    monkeypatch.setattr(panel_module, "load_bokeh", lambda: None)
    opened = Lab(bench)
    yield opened
    opened.close()


def wait(true: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_what_if_that_failed_hides_no_other(bench: Workbench, panel: Lab) -> None:
    bench.what_ifs.put(WhatIf("lost", None, model="small", error="no room"))
    assert row_shown(bench, bench.what_if("small"))._repr_html_() != ""
    panel.cards.value = ""
    panel._show()
    assert panel.cards.value != ""


@pytest.mark.parametrize("panel", [True, False], ids=["live", "still"], indirect=True)
def test_a_new_setting_makes_a_what_if_and_shows_it(panel: Lab) -> None:
    assert panel.chosen == "small"
    panel.controls.order.value = "lescea"
    wait(lambda: not panel.background.busy and panel.chosen != "small")
    wait(lambda: len(panel.table._rows) == 2)
    assert panel.bench.what_ifs[panel.chosen or ""].plan.order_strategy in panel.cards.value + panel.chosen
    wait(lambda: panel.chosen in panel.table._cells.value)
    panel.choose("small")
    assert panel.chosen == "small"
    panel.remove("small")
    assert panel.chosen != "small"
    assert "small" not in panel.table._rows


def test_advice_for_a_step_that_gains_nothing_is_given_where_the_headline_says_so(panel: Lab) -> None:
    plan, profile = replace(panel.bench.what_ifs["small"].plan, extra_time=0.0), panel.profile
    early = replace(plan, captured_peak_bytes=plan.peak_bytes)  # gradients given back early: no gain of the order
    assert not gains_nothing(early, profile)
    assert panel_module._hint(early, profile) == ""
    same = replace(early, arena_bytes=profile.eager_bytes)
    assert gains_nothing(same, profile)
    assert "press What would help?" in panel_module._hint(same, profile)


def test_the_head_is_the_verdict_and_tells_eager_and_captured_apart(panel: Lab) -> None:
    plan, eager = panel.bench.what_ifs["small"].plan, panel.profile.eager_graph
    assert eager is not None
    assert f"<b>{plan.headline}, predicted;" in html.unescape(panel.cards.value)
    assert "<img" in panel.cards.value
    assert panel.cards.value.count("Eager itself peaks at") == 1  # it keeps gradients until they are cleared
    same = head_html(plan, replace(panel.profile, eager_graph=panel.profile.graph))
    assert "Eager itself peaks at" not in same
    more = replace(eager, storages=tuple(replace(one, bytes=2 * one.bytes) for one in eager.storages))
    message = head_html(plan, replace(panel.profile, eager_graph=more))
    assert message.count("Eager itself peaks at") == 1


def test_a_panel_says_what_it_is_where_it_cannot_be_shown(panel: Lab) -> None:
    message = panel._repr_mimebundle_()["text/plain"]
    assert message == repr(panel) == "roam lab: the panel over 'small', showing small"


def test_bokehjs_is_in_the_output_once(monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[dict[str, str]] = []
    monkeypatch.setattr("IPython.display.publish_display_data", published.append)
    load_bokeh()
    load_bokeh()  # each output has its own: see there
    assert [list(data) for data in published] == [["application/javascript"]] * 2
    assert published[0]["application/javascript"].count("BEGIN bokeh.min") == 1
    assert published[0]["application/javascript"].count("BEGIN bokeh-widgets") == 1  # slider and search box
    assert len(published[0]["application/javascript"]) < 1_700_000


def test_an_infeasible_plan_is_a_red_sentence(panel: Lab) -> None:
    panel._failed(str(InfeasibleError("an arena of 1 bytes is <too> small")))
    assert 'role="alert"' in panel.line.text.value
    assert "&lt;too&gt; small" in panel.line.text.value
    assert panel.chosen == "small"


def test_a_failing_planner_is_a_red_sentence(panel: Lab) -> None:
    panel.background.ask(panel.profile.graph, {"budget": 1})
    wait(lambda: not panel.background.busy and "alert" in panel.line.text.value)
    assert "1 bytes are too few for the whole step" in panel.line.text.value


def test_without_the_model_run_and_verify_say_so(panel: Lab, bench: Workbench) -> None:
    model = torch.nn.Linear(4, 1)
    bench.adopt("found", profile(model, (torch.randn(2, 4), torch.randn(2, 1)), loss=torch.nn.MSELoss(), fake=True))
    bench.plan_named("bare", "found")
    adopted = Lab(bench, "found")
    assert adopted.chosen == "bare"
    for act in (bench.measure, bench.verify_named):  # what the buttons Run and Verify call, in a thread
        with pytest.raises(InputError, match="the model that 'bare' is a plan of is not known here; profile it first"):
            act("bare")
    adopted.close()


def test_closing_ends_the_process_that_plans(panel: Lab) -> None:
    panel.controls.order.value = "roam"
    wait(lambda: not panel.background.busy and panel.background._executor is not None)
    processes = list(panel.background._executor._processes.values())
    assert processes
    panel.close()
    wait(lambda: not any(process.is_alive() for process in processes))


def test_two_panels_over_one_workbench(panel: Lab, bench: Workbench) -> None:
    other = Lab(bench)
    other.controls.layout_name.value = "best_fit"
    wait(lambda: not other.background.busy and other.chosen != "small")
    assert panel.chosen == "small"
    other.close()
    panel.controls.order.value = "list"
    wait(lambda: not panel.background.busy and panel.chosen != "small" and len(panel.table._rows) > 1)
    assert len(panel.table._rows) == 3


def test_a_profile_of_its_own_is_what_a_panel_shows(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panel_module, "host", lambda: Host("vscode", True, False, "vscode"))
    bench.capture_named("later", bench.made["small"], fake=True)
    first, second = Lab(bench, "small"), Lab(bench, "later")
    assert (first.chosen, second.chosen) == ("small", "later")
    first.close()
    second.close()


def test_a_budget_is_looked_up_planned_and_superseded(panel: Lab, bench: Workbench) -> None:
    goals, resident = panel.controls.goals, panel.profile.graph.resident_bytes
    goals.with_budget.value = True
    assert panel.background.busy
    panel.cancel()
    assert not panel.background.busy
    assert not panel.frontiers
    assert not goals.with_budget.value  # the controls stand as for the plan that is shown
    goals.with_budget.value = True
    wait(lambda: panel.chosen != "small" and not panel.background.busy)
    (frontier,) = panel.frontiers.values()
    assert bench.frontiers == {"small": frontier}
    plan = bench.what_ifs[panel.chosen or ""].plan
    assert plan.rewrites
    assert resident + plan.arena_bytes <= goals.settings()["budget"]
    assert "extra time" in panel.cards.value
    assert goals.budget_slider.options[0][1] >= resident + frontier.points[-1].arena_bytes
    goals.budget_text.value = "1"
    wait(lambda: "alert" in panel.line.text.value)
    assert "1 bytes are too few for the whole step: the least known to do is" in panel.line.text.value
    goals.budget_text.value = "much"
    assert "is not a size" in panel.line.text.value
    assert bench.what_ifs[panel.chosen or ""].plan is plan
    goals.with_budget.value, goals.with_time.value = False, True
    goals.time_slider.value = 0.3
    goals.time_slider.value = 0.4
    asked = panel.background._asked
    wait(lambda: not panel.background.busy)
    assert panel.background._asked == asked  # the last one, and none of those before it, was planned
    assert bench.what_ifs[panel.chosen or ""].plan.extra_time <= 0.4


def test_what_would_help_is_captured_planned_and_told(panel: Lab) -> None:
    panel.grid.help()
    wait(lambda: panel.task is None)
    names = [row.name for row in panel.bench.what_ifs.of("small")]
    assert "bfloat16 auto" in names
    assert "bfloat16 auto: whole step" in panel.line.text.value
    assert panel.chosen == "small"
    panel.table.words.value = "bfloat16"
    assert list(panel.table._rows) == ["bfloat16 auto"]
    assert f"1 of {len(names)}" in panel.table._count.value
    panel.table.words.value = ""
    panel.table.sort.value = "whole step"
    assert next(iter(panel.table._rows)) == "bfloat16 auto"
    panel.choose("bfloat16 auto")
    assert panel.chosen == "bfloat16 auto"


def test_a_grid_that_cannot_be_read_is_a_red_sentence(panel: Lab) -> None:
    panel.grid.ask({"batch": "", "dtype": " "})
    assert "every field is empty" in panel.line.text.value
    panel.grid.ask({"batch": "many"})
    assert "not a whole number" in html.unescape(panel.line.text.value)
    panel.grid.ask({"dtype": "float99"})
    assert "there is no dtype" in panel.line.text.value
    assert panel.task is None


def test_a_pinned_plan_is_the_baseline_of_table_and_curve(panel: Lab) -> None:
    assert "★ eager PyTorch" in panel.table._buttons.children[3].value
    panel.bench.plan_named("worse", "small", order="captured", rewrites=())
    shown: list[Any] = []
    panel.figures.show = lambda *given: shown.append(given[3])
    panel.pin("worse")
    panel.choose("small")
    assert shown[-1] == ("worse", panel.bench.what_ifs["worse"].plan)
    assert "★ eager" not in panel.table._buttons.children[3].value
    panel.choose("worse")
    assert shown[-1] is None
    panel.table._buttons.children[4].click()  # the star of eager's row
    panel.choose("small")
    assert shown[-1] is None
    assert panel.bench.what_ifs.baseline_of("small").name == "eager PyTorch"  # type: ignore[union-attr]


def test_the_export_names_the_plan_and_shows_the_code(panel: Lab, tmp_path: Path) -> None:
    assert panel.exporting.button.description == f"Export {panel.bench.what_ifs['small'].in_words()}"
    panel.exporting.form.value = "a script: plain PyTorch"
    assert panel.exporting.path.value == "plan.py"
    assert "roam.hook(plan, model, optimizer, loss=loss)" in panel.exporting.code.value
    panel.exporting.form.value = "a script: transformers Trainer"
    assert "export the code for plain PyTorch" in panel.exporting.code.value
    panel.exporting.form.value = "a file, by its ending"
    assert panel.exporting.code.value == ""
    panel.exporting.path.value = str(tmp_path / "small.svg")
    panel.exporting.button.click()
    assert f"wrote {tmp_path}/small.svg: small (small: auto" in panel.line.text.value


def test_the_controls_stand_as_the_shown_plan_was_asked_for(panel: Lab) -> None:
    panel.controls.order.value = "lescea"
    wait(lambda: not panel.background.busy and panel.chosen != "small")
    other = panel.chosen or ""
    panel.choose("small")
    assert panel.controls.order.value == "auto"
    assert not panel.background.busy
    panel.choose(other)
    assert panel.controls.order.value == "lescea"
    assert not panel.background.busy
    assert panel.bench.what_if().name == other  # what actions take


def test_a_panel_shows_the_rows_of_its_own_model(panel: Lab, bench: Workbench) -> None:
    bench.capture_named("later", bench.made["small"], fake=True)
    other = Lab(bench, "later")
    assert list(other.table._rows) == ["later"]
    panel.choose("small")
    assert list(panel.table._rows) == ["small"]
    other.close()
