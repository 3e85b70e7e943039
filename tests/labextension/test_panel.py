"""The side panel and the palette's commands, in real JupyterLab."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from roam_lab.plan import Plan
from roam_lab.report.units import exact_text
from tests.browser import LabPage
from tests.contrast import assert_apart, assert_read
from tests.labextension.plans import step_plan
from tests.twins import sampled

AUTO, CAPTURED = "auto.roam.json", "runs/captured.roam.json"


@pytest.fixture
def panel(page: LabPage) -> Any:
    """The side panel with its list read, nothing ticked."""
    page.page.evaluate("window.jupyterapp.shell.activateById('roam-plans-panel')")
    shown = page.locator(".roam-panel")
    shown.get_by_role("button", name="Refresh").click()
    shown.locator(f"li[data-path='{CAPTURED}'] .roam-plan-saving", has_text="MiB").wait_for()
    while (ticked := shown.locator("input:checked")).count():
        ticked.first.click()  # `uncheck` would look at it once more, where none is ticked any longer
    return shown


def palette(page: LabPage, words: str) -> Any:
    """The command palette's items for `words`."""
    page.execute("apputils:activate-command-palette")
    page.locator(".lm-CommandPalette-input:visible").fill(words)
    return page.locator(".lm-CommandPalette-item:not(.lm-mod-disabled)")


def run_from_palette(page: LabPage, label: str) -> None:
    palette(page, label).filter(has_text=label).and_(page.locator(".lm-mod-active")).wait_for()
    page.page.keyboard.press("Enter")


def cells(page: LabPage) -> list[str]:
    """Sources of the notebook in front, as JupyterLab holds them."""
    found: list[str] = page.page.evaluate(
        "[...window.jupyterapp.shell.currentWidget.content.model.cells].map(cell => cell.sharedModel.source)"
    )
    return found


def wait_for_notebook(page: LabPage) -> None:
    page.page.wait_for_function(
        "window.jupyterapp.shell.currentWidget?.context?.path?.endsWith('.ipynb')"
        " && window.jupyterapp.shell.currentWidget.context.isReady"
        " && window.jupyterapp.shell.currentWidget.content.model.cells.length > 1"
    )


def test_plans_with_their_savings(panel: Any, plan: Plan) -> None:
    assert f"{plan.headline}, optimal" in panel.locator(f"li[data-path='{AUTO}']").inner_text()
    captured = panel.locator(f"li[data-path='{CAPTURED}']").inner_text()
    assert step_plan(6, order="captured").headline in captured
    assert captured.endswith("runs")


def test_open_one(page: LabPage, panel: Any) -> None:
    panel.locator(f"li[data-path='{CAPTURED}'] button").click()
    page.locator(".roam-document:visible [data-figure=planned]").wait_for()
    assert "at most 95.50 % above the optimum" in page.locator(".roam-document:visible .roam-verdict").inner_text()


def test_new_and_deleted_files_are_noticed(page: LabPage, panel: Any, plan: Plan) -> None:
    plan.save(page.lab.root / "later.roam.json")
    panel.get_by_role("button", name="Refresh").click()
    item = panel.locator("li[data-path='later.roam.json']")
    item.locator("input").check()
    page.page.evaluate("window.jupyterapp.serviceManager.contents.delete('later.roam.json')")
    item.wait_for(state="detached")
    assert panel.get_by_role("button", name="Compare two").is_disabled()


def test_compare_two_ticked(page: LabPage, panel: Any, plan: Plan, pictures: Path) -> None:
    compare = panel.get_by_role("button", name="Compare two")
    assert compare.is_disabled()
    for path in (CAPTURED, AUTO):
        panel.locator(f"li[data-path='{path}'] input").check()
    compare.click()
    table = page.locator(".roam-document:visible .roam-texttable").first
    table.wait_for()
    rows = {row.split("\t")[0]: row.split("\t")[1:] for row in table.locator("tbody").inner_text().splitlines()}
    before, after = plan.captured_peak_bytes, plan.peak_bytes
    assert exact_text(before) in rows["planned peak"][0]
    assert exact_text(after) in rows["planned peak"][1]
    assert rows["planned peak"][2] == f"−{(before - after) / 2**20:.1f} MiB (−{100 * (before - after) / before:.1f} %)"
    assert rows["captured peak"][2] == "same"
    assert rows["gap"][1] == "proven optimal"
    assert "Both plan the same graph." in page.locator(".roam-document:visible").inner_text()
    label = page.locator(".roam-document:visible .roam-plot-canvas").get_attribute("aria-label")
    assert "A planned: peak 10.9 MiB" in label
    assert "B planned: peak 5.8 MiB" in label
    page.page.wait_for_timeout(300)
    page.screenshot(pictures / "compare.png")


def test_a_third_tick_replaces_the_first(panel: Any) -> None:
    for path in (AUTO, "many.roam.json", CAPTURED):
        panel.locator(f"li[data-path='{path}'] input").check()
    assert panel.locator("input:checked").count() == 2
    assert not panel.locator(f"li[data-path='{AUTO}'] input").is_checked()


def test_plans_of_different_graphs(page: LabPage, panel: Any) -> None:
    page.execute("roam:compare-plans", {"paths": [AUTO, "many.roam.json"]})
    page.locator(".roam-document:visible").get_by_text("These are plans of different graphs").wait_for()


def test_compare_from_the_palette_asks(page: LabPage, panel: Any) -> None:
    run_from_palette(page, "ROAM: Compare plans")
    selects = page.locator(".jp-Dialog select")
    selects.nth(0).select_option(CAPTURED)
    selects.nth(1).select_option(AUTO)
    page.locator(".jp-Dialog button.jp-mod-accept").click()
    page.locator(".roam-document:visible .roam-texttable thead").get_by_text(f"A: {CAPTURED}").wait_for()


def test_palette_has_the_commands(page: LabPage) -> None:
    items = palette(page, "ROAM:")
    items.first.wait_for()
    texts = " ".join(items.all_inner_texts())
    for label in ("ROAM: New lab notebook", "ROAM: Compare plans", "ROAM: Insert hook code"):
        assert label in texts


def test_new_lab_notebook(page: LabPage, pictures: Path) -> None:
    run_from_palette(page, "ROAM: New lab notebook")
    wait_for_notebook(page)
    assert page.locator(".jp-Dialog").count() == 0  # no question for a kernel
    sources = cells(page)
    assert "%load_ext roam_lab" in sources
    assert any("%roam profile model batch" in source for source in sources)
    assert sources[-1] == "%roam lab"
    name = page.page.evaluate("window.jupyterapp.shell.currentWidget.context.path")
    nbformat.validate(json.loads((page.lab.root / name).read_text()))
    page.screenshot(pictures / "new_notebook.png")


def test_insert_hook_code(page: LabPage, panel: Any) -> None:
    panel.locator(f"li[data-path='{CAPTURED}'] input").check()
    page.execute("roam:new-notebook", {"path": "runs"})
    wait_for_notebook(page)
    before = cells(page)
    page.execute("roam:insert-hook-code")  # not by the palette, which a starting notebook closes by taking the focus
    page.page.wait_for_function(
        "count => window.jupyterapp.shell.currentWidget.content.model.cells.length > count", arg=len(before)
    )
    page.page.wait_for_function("window.jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.source")
    (code,) = set(cells(page)) - set(before)
    calls = [ast.unparse(node.value) for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Assign)]
    assert calls == ["roam.load('captured.roam.json')", "roam.hook(plan, model, optimizer)", "step(batch)"]


def test_insert_hook_code_without_a_notebook(page: LabPage) -> None:
    page.page.evaluate("void window.jupyterapp.commands.execute('roam:insert-hook-code')")
    page.locator(".jp-Dialog").get_by_text("Open a notebook").wait_for()
    page.locator(".jp-Dialog-footer button").click()


@pytest.mark.parametrize("dark", sampled([True, False], 1), ids=["dark", "light"])
def test_every_word_of_the_panel_is_read(page: LabPage, panel: Any, dark: bool) -> None:
    (page.lab.root / "bad.roam.json").write_text('{"format": "none"}')
    panel.get_by_role("button", name="Refresh").click()
    panel.locator("li[data-path='bad.roam.json'] .roam-mod-problem").wait_for()
    page.theme(dark)
    assert_read(page.page, ".roam-panel")
    assert_apart(page.page, ".roam-panel")
    page.theme(False)
    (page.lab.root / "bad.roam.json").unlink()
