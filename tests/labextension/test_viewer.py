"""A plan file opened in real JupyterLab: its figures, plots and table, against what Python says of the same plan."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from roam_lab.ir import Lifetime, captured_order, lifetimes, live_curve, live_peak
from roam_lab.plan import Plan, make_plan
from roam_lab.report.units import bytes_text, exact_text
from tests.browser import LabPage
from tests.contrast import assert_read
from tests.rewrite.graphs import blocks

LEFT, RIGHT, TOP, BOTTOM = 64, 12, 10, 36
"""Pixels round a plot, as in labextension/src/plot.ts."""


WITHIN = """one => {
  const box = one.getBoundingClientRect()
  const inside = (child) => child.left >= box.left && child.right <= box.right + 1 &&
    child.top >= box.top && child.bottom <= box.bottom + 1
  return [...one.children].map(child => child.getBoundingClientRect()).every(inside)
}"""
"""Whether an element holds all of its children."""


def view(page: LabPage, path: str = "auto.roam.json") -> Any:
    """The viewer of `path`, drawn."""
    page.open(path)
    shown = page.locator(".roam-document:visible")
    shown.locator("canvas[data-draw-milliseconds]").nth(1).wait_for()
    return shown


def lives_by_size(plan: Plan) -> list[Lifetime]:
    assert plan.graph is not None
    return sorted(lifetimes(plan.graph, plan.order), key=lambda life: (-life.bytes, life.storage))


def chosen(shown: Any) -> int:
    """The storage of the selected row, which must be in sight."""
    row = shown.locator(".roam-grid-row[aria-selected=true]")
    row.wait_for()
    return int(row.get_attribute("data-storage"))


def click_storage(plan: Plan, shown: Any, life: Lifetime) -> None:
    """Click on the middle of a storage's rectangle."""
    canvas = shown.locator(".roam-plot-canvas").nth(1)
    box = canvas.bounding_box()
    width, height = box["width"] - LEFT - RIGHT, box["height"] - TOP - BOTTOM
    across = (life.start + life.end) / 2 / len(plan.order)
    up = (plan.offsets[life.storage] + life.bytes / 2) / plan.arena_bytes
    canvas.click(position={"x": LEFT + across * width, "y": TOP + (1 - up) * height})


def test_figures(page: LabPage, plan: Plan) -> None:
    shown = view(page)
    graph = plan.graph
    assert graph is not None
    figures = {
        "captured": plan.captured_peak_bytes,
        "planned": plan.peak_bytes,
        "bound": plan.lower_bound_bytes,
        "arena": plan.arena_bytes,
        "resident": graph.resident_bytes,
        "whole step, eager": graph.resident_bytes + plan.eager_bytes,
        "whole step, planned": graph.resident_bytes + plan.arena_bytes,
    }
    assert shown.locator("h2").inner_text() == graph.name
    for name, size in figures.items():
        tile = shown.locator(f'[data-figure="{name}"]')
        assert tile.locator(".roam-tile-size").inner_text() == bytes_text(size)
        assert tile.locator(".roam-tile-exact").inner_text() == exact_text(size)
    assert f": {plan.headline}, predicted;" in shown.locator(".roam-verdict").inner_text()
    assert "proven optimal" in shown.locator('[data-figure="bound"]').inner_text()
    shown.get_by_text("How it was planned").click()
    facts = shown.locator(".roam-facts").inner_text()
    assert "best_fit" in facts
    assert plan.graph_sha256 in facts


def test_curve_equals_pythons(page: LabPage, plan: Plan) -> None:
    shown = view(page)
    assert plan.graph is not None
    planned, captured = live_curve(plan.graph, plan.order), live_curve(plan.graph, captured_order(plan.graph))
    shown.get_by_text("This curve as a table").click()
    rows = [line.split("\t") for line in shown.locator(".roam-plot .roam-texttable tbody").inner_text().splitlines()]
    steps = [int(row[0]) - 1 for row in rows]
    assert {int(planned.argmax()), int(captured.argmax()), 0, len(plan.order) - 1} <= set(steps)
    assert [row[1] for row in rows] == [exact_text(int(captured[step])) for step in steps]
    assert [row[2] for row in rows] == [exact_text(int(planned[step])) for step in steps]
    label = shown.locator(".roam-plot-canvas").first.get_attribute("aria-label")
    assert f"planned: peak {bytes_text(plan.peak_bytes)}" in label


def test_click_on_the_map_selects_the_row(page: LabPage, plan: Plan) -> None:
    shown = view(page)
    for life in (lives_by_size(plan)[0], lives_by_size(plan)[20]):
        click_storage(plan, shown, life)
        assert chosen(shown) == life.storage
        assert (
            shown.locator(".roam-chosen").inner_text().startswith(f"Storage {life.storage}, {bytes_text(life.bytes)}")
        )


def test_click_on_a_row_and_on_the_curve(page: LabPage, plan: Plan) -> None:
    shown = view(page)
    before = shown.locator("canvas.roam-plot-canvas").nth(1).evaluate("canvas => canvas.toDataURL()")
    shown.locator(".roam-grid-row").nth(3).click()
    assert chosen(shown) == lives_by_size(plan)[3].storage
    page.page.wait_for_function(
        "before => document.querySelectorAll('.roam-plot-canvas')[1].toDataURL() !== before", arg=before
    )
    assert plan.graph is not None
    step = live_peak(plan.graph, plan.order).step
    canvas = shown.locator(".roam-plot-canvas").first
    width = canvas.bounding_box()["width"] - LEFT - RIGHT
    canvas.click(position={"x": LEFT + (step + 0.5) / len(plan.order) * width, "y": 60})
    assert chosen(shown) == next(life.storage for life in lives_by_size(plan) if life.start <= step < life.end)


def test_keyboard(page: LabPage, plan: Plan) -> None:
    shown = view(page)
    by_size = [life.storage for life in lives_by_size(plan)]
    shown.locator(".roam-plot-canvas").nth(1).focus()
    page.page.keyboard.press("ArrowDown")
    page.page.keyboard.press("ArrowDown")
    assert chosen(shown) == by_size[1]
    shown.locator(".roam-grid").focus()
    page.page.keyboard.press("End")
    assert chosen(shown) == by_size[-1]
    active = shown.locator(".roam-grid").get_attribute("aria-activedescendant")
    assert shown.locator(f"#{active}").get_attribute("data-storage") == str(by_size[-1])
    shown.locator(".roam-plot-canvas").nth(1).focus()
    page.page.keyboard.press("Escape")
    shown.locator(".roam-grid-row[aria-selected=true]").wait_for(state="detached")


def test_sort_and_search(page: LabPage, plan: Plan) -> None:
    shown = view(page)
    lives = lives_by_size(plan)

    def first(count: int) -> list[int]:
        rows = shown.locator(".roam-grid-row")
        return [int(rows.nth(index).get_attribute("data-storage")) for index in range(count)]

    assert first(5) == [life.storage for life in lives[:5]]
    shown.get_by_role("columnheader", name="start").get_by_role("button").click()
    assert first(5) == [life.storage for life in sorted(lives, key=lambda life: (life.start, life.storage))[:5]]
    shown.get_by_role("columnheader", name="start").get_by_role("button").click()
    assert first(5) == [life.storage for life in sorted(lives, key=lambda life: (-life.start, life.storage))[:5]]
    assert shown.get_by_role("columnheader", name="start").get_attribute("aria-sort") == "descending"
    assert plan.graph is not None
    hits = [op for op in plan.graph.ops if op.creates and op.name.startswith("gelu_backward")]
    shown.get_by_role("searchbox").fill("GELU_backward gradient")
    shown.get_by_text(re.compile(f"^{len(hits)} of {len(lives)} storages")).wait_for()
    assert shown.locator(".roam-grid-row").count() == len(hits)
    assert all("gelu_backward" in text for text in shown.locator(".roam-grid-row").all_inner_texts())


def test_both_themes_redraw(page: LabPage, pictures: Path) -> None:
    shown = view(page)
    shown.locator(".roam-grid-row").nth(3).click()
    drawn = {}
    for theme in ("light", "dark"):
        page.theme(dark=theme == "dark")
        page.page.wait_for_timeout(300)
        page.screenshot(pictures / f"viewer_{theme}.png")
        assert_read(page.page, ".roam-view")
        drawn[theme] = [canvas.evaluate("canvas => canvas.toDataURL()") for canvas in shown.locator("canvas").all()]
    page.theme(dark=False)
    plots = [index for index, canvas in enumerate(shown.locator("canvas").all()) if canvas.get_attribute("tabindex")]
    assert len(plots) == 2
    assert all(drawn["light"][index] != drawn["dark"][index] for index in plots)
    assert drawn["light"][0] != drawn["dark"][0]  # a line's swatch in the legend


def test_the_icicle_shows_what_is_alive_at_any_step(page: LabPage, plan: Plan) -> None:
    shown = view(page)
    assert plan.graph is not None
    live, icicle = live_curve(plan.graph, plan.order), shown.locator(".roam-icicle")
    peak = live_peak(plan.graph, plan.order).step
    head = icicle.locator("figcaption")
    assert f"step {peak + 1:,} of {len(plan.order):,}: {bytes_text(int(live[peak]))} in " in head.inner_text()
    width = icicle.locator(".roam-icicle-boxes").bounding_box()["width"]
    for level in icicle.locator(".roam-icicle-level").all():
        boxes = [box.bounding_box()["width"] for box in level.locator("button").all()]
        assert sum(boxes) == pytest.approx(width, abs=2)
    box = icicle.locator(".roam-icicle-level").nth(2).locator("button").first
    box.focus()
    page.page.keyboard.press("Enter")
    alive = [life.storage for life in lives_by_size(plan) if life.start <= peak < life.end]
    assert chosen(shown) in alive
    assert icicle.locator(".roam-mod-chosen").count() == 1
    slider = icicle.get_by_label("step")
    slider.focus()
    page.page.keyboard.press("Home")
    assert f"step 1 of {len(plan.order):,}: {bytes_text(int(live[0]))}" in head.inner_text()
    icicle.get_by_text("What is alive as a table").click()
    icicle.locator("tbody td").first.wait_for()
    found = sum(int(cell.split()[0].replace(",", "")) for cell in
               icicle.locator(".roam-texttable tbody td:last-child").all_inner_texts())  # fmt: skip
    assert found == int(live[0])


def test_what_was_rewritten_and_what_it_costs(page: LabPage) -> None:
    plan = make_plan(blocks(4), extra_time=0.2, alignment=1)
    path = page.lab.root / "rewritten.roam.json"
    plan.save(path)
    try:
        summary = view(page, path.name).locator(".roam-summary")
        said = f"rewritten ({100 * plan.extra_time:.1f} % more time), no order of it needs less."
        assert said in summary.locator(".roam-verdict").inner_text()
        table = summary.locator(".roam-texttable")
        assert f"Rewritten: {100 * plan.extra_time:.1f} % more time, predicted" in table.inner_text()
        rows = {row.split("\t")[0]: row.split("\t")[1:] for row in table.locator("tbody").inner_text().splitlines()}
        for saving in plan.savings:
            count = sum(rewrite.kind == saving.kind for rewrite in plan.rewrites)
            if count:
                assert rows[saving.kind] == [str(count), bytes_text(saving.bytes)]
        assert "recompute" in rows
    finally:
        path.unlink()


def test_folding_leaves_out_idle_steps(page: LabPage) -> None:
    shown = view(page)
    arena = shown.locator(".roam-plot-canvas").nth(1)
    before = arena.evaluate("canvas => canvas.toDataURL()")
    shown.get_by_label("Leave out steps").check()
    page.page.wait_for_function(
        "before => document.querySelectorAll('.roam-plot-canvas')[1].toDataURL() !== before", arg=before
    )


def test_ten_thousand_storages(page: LabPage) -> None:
    shown = view(page, "many.roam.json")
    assert shown.locator(".roam-count").inner_text().startswith("10,000 of 10,000 storages")
    assert shown.locator(".roam-grid-row").count() < 60  # only rows in sight are in the page
    shown.get_by_title("Zoom in").click()
    page.page.wait_for_timeout(200)
    assert float(shown.locator(".roam-plot-canvas").nth(1).get_attribute("data-draw-milliseconds")) < 1_000
    shown.locator(".roam-grid").focus()
    page.page.keyboard.press("End")
    assert chosen(shown) == 9_999


def test_bare_plan_says_what_is_missing(page: LabPage, plan: Plan) -> None:
    page.open("bare.roam.json")
    shown = page.locator(".roam-document:visible")
    shown.get_by_text("This plan is bare").wait_for()
    assert shown.locator('[data-figure="planned"] .roam-tile-exact').inner_text() == exact_text(plan.peak_bytes)
    assert shown.locator(".roam-plot-canvas").count() == 0
    assert shown.locator(".roam-count").inner_text().startswith(f"{len(plan.offsets)} of ")


def test_viewing_writes_nothing(page: LabPage) -> None:
    before = (page.lab.root / "auto.roam.json").read_bytes()
    view(page)
    page.page.keyboard.press("Control+s")
    page.page.wait_for_timeout(300)
    assert page.locator(".jp-Dialog").count() == 0
    assert (page.lab.root / "auto.roam.json").read_bytes() == before
    assert not list(page.lab.root.glob(".ipynb_checkpoints/auto*"))


def test_a_file_written_anew_is_shown_anew(page: LabPage, plan: Plan) -> None:
    path = page.lab.root / "changing.roam.json"
    plan.save(path)
    try:
        shown = view(page, path.name)
        plan.save(path, bare=True)
        page.execute("docmanager:reload")
        shown.get_by_text("This plan is bare").wait_for()
    finally:
        path.unlink()


def test_output_of_a_cell(page: LabPage, plan: Plan) -> None:
    page.open("output.ipynb")
    output = page.locator(".roam-output").first
    assert output.locator('[data-figure="planned"] .roam-tile-exact').inner_text() == exact_text(plan.peak_bytes)
    click_storage(plan, output, lives_by_size(plan)[0])
    assert chosen(output) == lives_by_size(plan)[0].storage
    output.get_by_text("How it was planned").click()
    for tile in output.locator(".roam-tile, .roam-facts").all():  # JupyterLab has a layout of its own for them there
        assert tile.evaluate(WITHIN)
    problem = page.locator(".roam-output .roam-problem")
    assert 'format is "<b>none</b>"' in problem.inner_text()
    assert problem.locator("b").count() == 0


def test_a_reload_keeps_the_tab(page: LabPage, plan: Plan) -> None:
    plan.save(page.lab.root / "kept.roam.json")
    view(page, "kept.roam.json")
    # JupyterLab saves its layout a moment later; wait_for_function takes an unfinished promise for true
    saved = """async name => {
      const layout = async () => (await fetch('/lab/api/workspaces/default')).text()
      for (let tries = 0; !(await layout()).includes(name); tries++) {
        if (tries > 450) throw new Error("the layout was never saved")
        await new Promise(done => setTimeout(done, 100))
      }
    }"""
    page.page.evaluate(saved, '"roam-plans:kept.roam.json"]')
    page.load(reset=False)
    page.locator(".roam-document:visible [data-figure=planned]").wait_for()
    (page.lab.root / "kept.roam.json").unlink()


def test_the_watch_over_requests_can_fail(page: LabPage) -> None:
    page.page.route("http://elsewhere.invalid/*", lambda route: route.abort())
    page.page.evaluate("fetch('http://elsewhere.invalid/plan').catch(() => undefined)")
    assert page.outside_requests() == ["http://elsewhere.invalid/plan"]
    with pytest.raises(AssertionError):
        page.assert_no_outside_requests()
    page.asked.remove("http://elsewhere.invalid/plan")
