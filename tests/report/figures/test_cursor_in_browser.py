"""The shared cursor, the search and the theme in a real browser: what is moved in one figure moves in all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from roam_lab.report.figures import linked, page
from roam_lab.report.figures.icicle_columns import icicle_columns
from roam_lab.report.figures.theme import INKS
from roam_lab.report.views import views_of
from roam_lab.report.views.cursor import step_text
from roam_lab.report.views.graph import HALF
from tests.report.figures.conftest import opening
from tests.report.figures.in_page import SOURCE, attribute, click_at, column, drag, planned, step_of
from tests.report.views.graphs import blocks

PLAN = planned(blocks(12))
VIEWS = views_of(PLAN)


@pytest.fixture(scope="module")
def tab(browser, tmp_path_factory):
    """One dark page for all tests of this module, which move its cursor about."""
    with opening(browser, tmp_path_factory.mktemp("cursor")) as show:
        yield show(page("cursor", linked(PLAN), dark=True))


def assert_all_follow(tab, step):
    """Whether every figure, the slider and the line of words show `step`."""
    known, axis = VIEWS.tensors, VIEWS.memory.axis
    found = icicle_columns(replace(VIEWS.icicle, step=step), 700)
    data = {key: column(tab, "roam-icicle-data", key) for key in ("level", "bytes", "label", "left")}
    assert (data["label"][0], data["bytes"][0]) == (VIEWS.icicle.head(step), known.live_bytes[step])
    assert (data["level"], data["bytes"]) == (found["level"], found["bytes"])
    assert data["left"] == [pytest.approx(left) for left in found["left"]]
    lines = tab.evaluate(
        f"() => ['roam-memory', 'roam-arena'].map(name => ({SOURCE})(name).center.find(one => one.type === 'Span' && "
        "one.dimension === 'height').location)"
    )
    assert lines == [pytest.approx(axis.edges[step])] * 2
    frame = tab.evaluate(f"() => ({SOURCE})('roam-graph').center.find(one => one.type === 'BoxAnnotation').bottom")
    row = VIEWS.graph.row_of(int(VIEWS.graph.tree.leaf_of_op[known.order[step]]))
    assert frame == pytest.approx(-row - HALF)
    assert attribute(tab, "roam-slider", "value") == step + 1
    assert tab.get_by_text(step_text(known, step)).count() >= 1  # a tooltip may say it, too


def test_the_cursor_is_one_in_all_figures(tab):
    assert_all_follow(tab, VIEWS.icicle.step)
    step = drag(tab, "roam-memory", 0.5, 0.25)
    assert step == VIEWS.memory.axis.step_at(0.25 * VIEWS.memory.axis.end) != VIEWS.icicle.step
    assert_all_follow(tab, step)
    step = drag(tab, "roam-arena", 0.3, 0.8)
    assert step == VIEWS.memory.axis.step_at(0.8 * VIEWS.memory.axis.end)
    assert_all_follow(tab, step)
    back = drag(tab, "roam-icicle", 0.5, 0.4)  # a tenth of its width is a tenth of the step
    assert back == pytest.approx(step - len(PLAN.order) / 10, abs=1)
    assert_all_follow(tab, back)
    for figure in ("roam-memory", "roam-icicle", "roam-graph", "roam-arena", "roam-alive"):
        tab.evaluate(
            f"""name => {{
              const model = ({SOURCE})(name)
              const found = Bokeh.index.find_one(model) ?? [...Bokeh.index].map(v => v.find_one?.(model)).find(v => v)
              found.el.focus()
            }}""",
            figure,
        )
        before = step_of(tab)
        tab.keyboard.press("ArrowRight")
        assert step_of(tab) == before + 1, figure
    for key, wanted in (("End", len(PLAN.order) - 1), ("Home", 0), ("PageUp", round(len(PLAN.order) / 20))):
        tab.keyboard.press(key)
        assert step_of(tab) == wanted, key
    assert_all_follow(tab, wanted)


def test_what_a_search_finds_is_marked_everywhere(tab):
    known = VIEWS.tensors
    box = tab.locator("input[type=text]")
    box.press_sequentially("h.*.mlp mm model.py")
    found = [one for one in range(len(known.bytes)) if ".mlp" in known.module(one)]
    tab.wait_for_function(f"() => ({SOURCE})('roam-found').data.storage.length === {len(found)}")
    assert column(tab, "roam-found", "storage") == found
    step_of(tab)
    assert len(column(tab, "roam-arena-found", "left")) == len({int(VIEWS.arena.row_of[one]) for one in found})
    assert len(column(tab, "roam-memory-found", "left")) >= 12
    assert column(tab, "roam-graph-found", "left").count(0.0) >= 1
    assert column(tab, "roam-icicle-data", "thick").count(3) >= 1
    assert f"{len(found)} storages" in attribute(tab, "roam-search-summary", "content")
    box.fill("no such (layer")
    tab.wait_for_function(f"() => ({SOURCE})('roam-search-summary').content === 'nothing matches'")
    for name in ("roam-arena", "roam-memory", "roam-graph", "roam-alive"):
        assert column(tab, f"{name}-found", "left") == []


def test_auto_is_the_theme_of_the_page_behind(tab):
    inked = f"wanted => ({SOURCE})('roam-arena').title.text_color === wanted"
    tab.wait_for_function(inked, arg=INKS["dark"].text)
    tab.evaluate("() => { document.body.style.background = '#fff' }")  # as a user changes JupyterLab's theme
    tab.wait_for_function(inked, arg=INKS["light"].text)
    axis = f"() => ({SOURCE})('roam-arena').below[0]"
    assert tab.evaluate(f"({axis})().major_label_text_color") == INKS["light"].text
    assert tab.evaluate(f"({axis})().axis_line_color") == INKS["light"].axis


def test_a_click_in_the_icicle_zooms_in_and_out(tab):
    view = VIEWS.icicle
    first = next(box for box in view.at(step_of(tab)) if box.level == 1)
    click_at(tab, "roam-icicle", (first.left + first.right) / 2, -1.5)
    step_of(tab)
    assert column(tab, "roam-icicle-focus", "node") == [first.node]
    assert column(tab, "roam-icicle-data", "right")[1] == 1.0
    bottom = column(tab, "roam-icicle-data", "level").index(3)
    left, right = (column(tab, "roam-icicle-data", edge)[bottom] for edge in ("left", "right"))
    click_at(tab, "roam-icicle", (left + right) / 2, -3.5)
    assert column(tab, "roam-selection", "storage") == [column(tab, "roam-icicle-data", "storage")[bottom]]
    click_at(tab, "roam-icicle", 0.5, -0.5)
    assert column(tab, "roam-icicle-focus", "node") == [-1]
