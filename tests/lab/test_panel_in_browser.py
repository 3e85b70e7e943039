"""`%roam lab` in real JupyterLab in Chromium: what a user does with it, and what the page and the kernel then hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter

from tests.contrast import assert_read
from tests.lab.panel_page import SETUP, Panel, opened_panel
from tests.report.figures.in_page import SOURCE
from tests.twins import sampled


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Panel]:
    with opened_panel(tmp_path_factory.mktemp("notebooks"), 1500) as opened:
        yield opened


PLANNED = (
    "sorted(set(__import__('roam_lab.ir').ir.live_curve(panel.profile.graph, "
    "panel.bench.what_ifs[panel.chosen].plan.order).tolist()))"
)


def test_the_panel_appears_with_figures_table_and_controls(panel: Panel) -> None:
    assert panel.figure_says("rewritten (free)")
    assert panel.page.page.get_by_role("button", name="Verify", exact=True).count() == 1
    assert panel.page.locator(".roam-still").count() == 1
    assert not panel.page.locator(".roam-still").is_visible()
    shown = panel.page.locator(".widget-gridbox").first
    assert "base" in shown.locator("button").all_inner_texts()
    assert "★ eager PyTorch" in shown.inner_text()
    for label in ("order", "layout", "granularity", "time limit, s", "alignment", "seed"):
        assert panel.page.page.get_by_text(label, exact=True).first.is_visible(), label
    labels = panel.page.page.evaluate("""() => {
        const found = [], walk = root => { for (const one of root.querySelectorAll("*")) {
            if (one.getAttribute("role") === "img") found.push(one.getAttribute("aria-label"))
            if (one.shadowRoot) walk(one.shadowRoot) } }
        walk(document)
        return found
    }""")
    assert len([label for label in labels if label]) >= 4
    colours = f"() => ({SOURCE})('roam-arena').renderers.map(one => one.glyph.fill_color?.field)"
    assert "fill" in panel.page.page.evaluate(colours)  # the rectangles have those of their rows


def test_what_is_alive_at_the_peak_stands_in_groups(panel: Panel) -> None:
    """By module pattern and operator; what is too small to be shown is no grey bar of nearly everything."""
    labels, kinds = (panel.column("roam-alive-data", key) for key in ("what", "kind"))
    widths = panel.column("roam-alive-data", "right")
    assert any("×3" in label for label in labels), labels
    rest = sum(width for width, kind in zip(widths, kinds, strict=True) if kind == "the rest")
    assert rest < sum(widths) / 4


def test_figures_and_table_follow_strategy_and_granularity(panel: Panel) -> None:
    """How soon is measured in benchmarks/panel.py."""
    tree = panel.page.page.get_by_role("img", name="ROAM's tree of tasks")
    figures = panel.figure_ids()
    panel.remember()
    panel.run("heard = []; panel.figures._figures.on_msg(lambda *_: heard.append(1))")
    panel.choose("order", "roam")
    panel.wait_for_words("roam, 64", other=True)
    tree.wait_for()
    assert panel.draws(PLANNED)
    panel.page.locator(".widget-slider [role=slider]").first.focus()
    panel.page.page.keyboard.press("ArrowRight")
    panel.wait_for_words("roam, 96")
    panel.remember()
    panel.choose("order", "lescea")
    panel.wait_for_words("lescea", other=True)
    tree.wait_for(state="hidden")
    assert panel.draws(PLANNED)
    assert panel.figure_ids() == figures  # they became others where they stood
    assert panel.kernel("len(heard)") < 100  # the page does not tell back what it was told: 231 for one plan
    panel.wait_until("not panel.still.waits")  # the still picture below, which is to be saved, comes a moment later


def test_a_click_in_the_arena_selects_the_tensor_in_the_graph(panel: Panel) -> None:
    columns = {key: panel.column("roam-arena-data", key) for key in ("left", "right", "bottom", "top", "storage")}
    areas = [
        (right - left) * (top - bottom) if storage >= 0 else -1.0
        for left, right, bottom, top, storage in zip(*columns.values(), strict=True)
    ]
    row = areas.index(max(areas))
    storage = columns["storage"][row]
    before = panel.column("roam-graph-cells", "width")
    panel.click_arena(*(columns[key][row] for key in ("left", "right", "bottom", "top")))
    panel.wait_until(f"panel.figures.storage == {storage}")
    assert panel.column("roam-selection", "storage") == [storage]
    assert panel.column("roam-graph-cells", "width") != before
    pane = panel.page.locator(".bk-panel-models-ui-Pane, .bk-Pane")
    pane.get_by_text("of the arena").first.wait_for()
    graph = "panel.bench.what_ifs[panel.chosen].plan.graph"
    cell, _, line = panel.kernel(f"{graph}.ops[{graph}.creator[{storage}]].source").rpartition(":")
    assert cell == "In[2]"
    pane.get_by_text(SETUP.splitlines()[int(line) - 1].strip(), exact=True).first.wait_for()  # the line's code
    panel.reload()
    assert panel.column("roam-selection", "storage") == [storage]


def test_a_reloaded_page_shows_the_present_state(panel: Panel) -> None:
    panel.choose("order", "captured")
    panel.wait_for_words("captured")
    names = panel.kernel("[row.name for row in panel.bench.what_ifs]")
    panel.reload()
    panel.wait_for_words("captured")
    message = " ".join(panel.page.locator(".widget-gridbox").first.locator("button").all_inner_texts())
    assert [name for name in names if name not in message] == []
    assert panel.page.locator(".widget-dropdown select").first.input_value() == "captured"
    panel.choose("order", "dfs")
    panel.page.locator("[role=status]").filter(has_text="order dfs is worse than captured here").wait_for()
    panel.choose("order", "list")
    panel.wait_for_words("list")


CURSOR = "next(m for m in panel.figures._figures._model.references() if m.name == 'roam-cursor').data['step'][0]"


def test_keys_and_letters_in_a_figure_are_no_commands_of_jupyterlab(panel: Panel) -> None:
    page = panel.page.page
    count = "() => window.jupyterapp.shell.currentWidget.content.widgets.length"
    cells = page.evaluate(count)
    box = panel.page.locator("input[placeholder^='h.*']").first
    box.click()
    page.keyboard.type("ddaabb")  # in command mode: delete the cell, and make four others
    assert page.evaluate(f"() => ({SOURCE})('roam-search').value_input") == "ddaabb"
    box.fill("")
    step = panel.kernel(CURSOR)
    page.evaluate(
        f"""() => {{
          const model = ({SOURCE})("roam-memory")
          const found = Bokeh.index.find_one(model) ?? [...Bokeh.index].map(v => v.find_one?.(model)).find(v => v)
          found.el.focus()
        }}"""
    )
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    panel.wait_until(f"{CURSOR} == {step - 2}")  # and the kernel heard of it
    assert page.evaluate(count) == cells


CONTROLS = """() => {
  const found = [], walk = root => { for (const one of root.querySelectorAll("*")) {
    if (one.matches(".bk-input, .bk-btn")) found.push(getComputedStyle(one).backgroundColor)
    if (one.shadowRoot) walk(one.shadowRoot) } }
  walk(document)
  return found
}"""


@pytest.mark.parametrize("dark", sampled([True, False], 1), ids=["dark", "light"])
def test_themes(panel: Panel, tmp_path: Path, dark: bool) -> None:
    panel.page.theme(dark)
    panel.page.page.evaluate("document.querySelector('.widget-vbox').scrollIntoView()")
    path = Path(os.environ.get("ROAM_SCREENSHOTS", tmp_path)) / f"panel_{'dark' if dark else 'light'}.png"
    panel.page.screenshot(path)
    ink, paper = panel.page.page.evaluate(
        """() => [getComputedStyle(document.querySelector('.roam-what-ifs')).color,
                  getComputedStyle(document.querySelector('.jp-Notebook')).backgroundColor]"""
    )
    bright = {name: sum(map(int, colour[colour.index("(") + 1 : -1].split(",")[:3])) / 765 for name, colour in
              (("ink", ink), ("paper", paper))}  # fmt: skip
    assert_read(panel.page.page, ".jp-OutputArea-output")
    grounds = panel.page.page.evaluate(CONTROLS)
    assert len(grounds) == 2  # search box and play button
    assert [ground for ground in grounds if ground != "rgba(0, 0, 0, 0)"] == []  # the page is seen through them
    assert (bright["ink"] > 0.6 and bright["paper"] < 0.3) if dark else (bright["ink"] < 0.4 and bright["paper"] > 0.9)
    panel.page.theme(False)


# planning that never ends by itself, however fast the machine and however lucky the search
ENDLESS = """import roam_lab.lab.background as background
plan_elsewhere = background.plan_elsewhere
def endless(graph, settings):
    while True:
        pass
background.plan_elsewhere = endless"""


def test_cancel_in_the_middle_while_the_kernel_answers(panel: Panel) -> None:
    names = panel.kernel("[row.name for row in panel.bench.what_ifs]")
    panel.run(ENDLESS)
    panel.run("panel.controls.layout_name.value = 'hill_climb'")
    panel.wait_until("panel.background._running is not None")
    panel.page.page.wait_for_timeout(2000)
    assert panel.kernel("6 * 7") == 42
    assert panel.kernel("panel.background.busy")
    panel.press("Cancel")
    panel.wait_until("not panel.background.busy")
    panel.wait_until("'cancelled' in panel.line.text.value")
    assert panel.kernel("[row.name for row in panel.bench.what_ifs]") == names
    panel.run("background.plan_elsewhere = plan_elsewhere; panel.controls.layout_name.value = 'auto'")
    panel.wait_until("not panel.background.busy")


def test_verify_notes_what_was_measured(panel: Panel) -> None:
    panel.kernel("panel.choose('base')")
    panel.press("Verify")
    panel.wait_until("panel.bench.what_ifs['base'].identical", 90)
    panel.page.page.wait_for_function(
        "[...document.querySelectorAll('.roam-what-ifs td')].some(cell => cell.textContent.includes('same bits'))"
    )


def test_a_sentence_in_red_for_what_cannot_be_read_or_written(panel: Panel) -> None:
    panel.run("panel.exporting.path.value = 'taken.svg'; open('taken.svg', 'w').close()")
    panel.page.page.get_by_role("button", name="Export base: ").click()
    panel.page.locator("[role=alert]").filter(has_text="taken.svg: is there already; tick overwrite").wait_for()
    panel.run("panel.controls.time_limit.value = 'soon'")
    panel.page.locator("[role=alert]").filter(has_text="time_limit").wait_for()
    panel.run("panel.controls.time_limit.value = ''")
    panel.wait_until("not panel.background.busy")


def test_a_budget_is_planned_shown_on_the_frontier_and_a_point_of_it_can_be_clicked(panel: Panel) -> None:
    panel.tick("budget")
    panel.page.page.get_by_role("img", name="Memory against extra time").wait_for()
    panel.wait_until("not panel.background.busy and panel.bench.what_ifs[panel.chosen].plan.rewrites != ()")
    panel.page.page.wait_for_function(f"({SOURCE})('roam-frontier-data')?.data.role.includes('chosen')")
    roles = panel.column("roam-frontier-data", "role")
    assert {"planned", "captured", "checkpointed", "chosen"} <= set(roles)
    panel.run("panel.controls.goals.budget_text.value = '1KiB'")
    panel.page.locator("[role=alert]").filter(has_text="1024 bytes are too few for the whole step").wait_for()
    last = roles.count("planned") - 1
    panel.click_frontier(*(panel.column("roam-frontier-data", key)[last] for key in ("x", "y")))
    panel.wait_until("panel.controls.goals.with_time.value and not panel.background.busy")
    # of plans that lie close together, the one whose arena is smallest is taken: it may be a little faster
    panel.wait_until(
        "0.9 < panel.bench.what_ifs[panel.chosen].plan.extra_time / panel.controls.goals.time_slider.value < 1 + 1e-6"
    )
    assert "recomputed" in panel.kernel(
        "list({s.kind for s in panel.bench.what_ifs[panel.chosen].plan.graph.storages})"
    )


def test_a_job_and_a_cell_at_once_take_turns(panel: Panel) -> None:
    """Each traces with what belongs to the whole process: at once they ended in CURRENT_PATCHER is None."""
    panel.kernel("panel.choose('base')")
    panel.run("panel.verify()")
    panel.run("again = %roam profile model batch --optimizer optimizer --step train_step --name base --fake")
    panel.wait_until("panel.task is None", 60)
    assert panel.kernel("type(again).__name__") == "Profile"
    assert panel.kernel("panel.bench.what_ifs['base'].held is not None")
    assert 'role="alert"' not in panel.kernel("panel.line.text.value")


def test_a_click_on_a_row_brings_its_settings_back(panel: Panel) -> None:
    panel.choose("order", "roam")
    panel.wait_until("panel.bench.what_ifs[panel.chosen].asked.get('order') == 'roam' and not panel.background.busy")
    panel.page.page.get_by_role("button", name="base", exact=False).first.click()
    panel.wait_until("panel.chosen == 'base' and panel.controls.order.value == 'auto'")
    assert not panel.kernel("panel.background.busy")


def test_a_saved_notebook_without_a_kernel_shows_the_last_picture(panel: Panel) -> None:
    """The last test here: it ends the kernel. A page that is loaded anew no longer changes what it has saved."""
    panel.page.execute("docmanager:save")
    book = nbformat.read(panel.path, 4)
    shown = [output.get("data", {}) for output in book.cells[-1].outputs]
    stills = [data for data in shown if "roam-still" in data.get("text/html", "")]
    assert len(stills) == 1
    assert "<img" in stills[0]["text/html"]
    assert stills[0]["text/plain"].startswith("lescea (base: ")  # what the panel showed before the first reload
    assert panel.path.stat().st_size < 5_000_000
    page, _ = HTMLExporter(template_name="lab").from_notebook_node(book)
    assert "roam-still" in page
    assert panel.page.errors == []
    panel.page.execute("kernelmenu:shutdown")
    panel.page.close_all()
    panel.page.load()
    panel.page.open(panel.path.name)
    panel.page.locator(".roam-still img").first.wait_for()
    assert panel.page.locator(".roam-still").is_visible()
    message = panel.page.page.get_by_text("model not found")
    assert message.count() == 0 or not message.first.is_visible()
    panel.page.screenshot(Path(os.environ.get("ROAM_SCREENSHOTS", panel.path.parent)) / "panel_saved.png")
    panel.page.errors.clear()  # JupyterLab closes widgets whose kernel has gone, and cannot tell it
