"""Every word of the figures and of what cells show has a contrast of 4.5, in light and dark, and nothing is cut off."""

from __future__ import annotations

from dataclasses import replace

import pytest

from roam_lab.lab.shown import compare_shown, frontier_shown, plan_shown, profile_shown
from roam_lab.plan import Profile, make_plan
from roam_lab.report.figures import linked, page
from roam_lab.report.views import views_of
from roam_lab.report.whatifs import WhatIfs
from roam_lab.sweeps.table import SweepTable
from tests.contrast import LEAST, assert_apart, assert_read, crowded, faint, open_images
from tests.report.figures.conftest import opening
from tests.report.figures.in_page import SOURCE, planned
from tests.report.views.graphs import blocks
from tests.report.views.test_frontier import FOUND
from tests.rewrite.graphs import blocks as rewritable
from tests.twins import sampled

CELLS = """<!DOCTYPE html><html lang="en"><meta charset="utf-8"><style>:root {{ color-scheme: light dark }}
body {{ font: 13px system-ui, sans-serif }}</style><body>{}</body></html>"""
FOCUSED = """() => {
  let one = document.activeElement
  while (one?.shadowRoot?.activeElement) one = one.shadowRoot.activeElement
  return [one.tagName, one.getAttribute("aria-label") ?? String(one.className)]
}"""
OVERFULL = f"""() => {{
  const find = {SOURCE}
  const {{left, right, short, sub}} = find("roam-graph-cells").data, graph = find("roam-graph")
  const unit = graph.inner_width / (graph.x_range.end - graph.x_range.start)
  const to = document.createElement("canvas").getContext("2d")
  const wide = (text, font) => {{ to.font = font; return to.measureText(text).width }}
  const lower = (at) => sub[at].split("\\n").map((one) => [at, one, "10px helvetica"])
  const lines = left.flatMap((_, at) => [[at, short[at], "12px helvetica"], ...lower(at)])
  return lines.filter(([at, text, font]) => wide(text, font) > (right[at] - left[at]) * unit).map(([, text]) => text)
}}"""
"""Lines of the graph's cells that are wider than their cell."""
NARROW = f"""() => {{
  const find = {SOURCE}
  const to = document.createElement("canvas").getContext("2d")
  const wide = (text, font) => {{ to.font = font; return to.measureText(text).width }}
  const alive = find("roam-alive"), bars = find("roam-alive-data").data
  const scale = alive.inner_width / (alive.x_range.end - alive.x_range.start)
  const end = (text, at) => bars.right[at] * scale + 6 + wide(text, "11px helvetica")
  const cut = bars.label.filter((text, at) => end(text, at) > alive.inner_width)
  const graph = find("roam-graph"), {{top, bottom, short, sub}} = find("roam-graph-cells").data
  const row = graph.inner_height / (graph.y_range.end - graph.y_range.start)
  const tall = short.filter((_, at) => 1.2 * (12 + 10 * sub[at].split("\\n").length) > (top[at] - bottom[at]) * row)
  const titles = ["memory", "icicle", "graph", "arena", "alive"].map((name) => find(`roam-${{name}}`))
  const long = titles.filter((one) => wide(one.title.text, "bold 14px helvetica") > one.inner_width)
  return [...cut, ...tall, ...long.map((one) => one.title.text)]
}}"""
"""Names beside bars that leave the figure, names that are higher than their cells of the graph, and long titles."""
SIZES = ("step", "arena", "peak", "eager_peak", "captured_peak", "lower_bound")
PLANNED_ROW = {
    **{f"{name}_bytes": 3 * 2**20 for name in SIZES},
    "status": "planned",
    "extra_time": 0.05,
    "seconds": 1.2,
}
SWEPT = [
    {
        "point": {"factory": "train.py:make", "batch": 2},
        **PLANNED_ROW,
        "savings": [{"kind": "recompute", "bytes": 2**20}],
    },
    {
        "point": {"factory": "train.py:make", "batch": 4},
        "status": "failed",
        "error": "train.py:17: four rows are refused",
    },
]
"""Rows of a sweep: one with a plan, one that failed."""
THEMES = pytest.mark.parametrize("scheme", sampled(["dark", "light"], 1))


@pytest.fixture(scope="module")
def plan():
    return planned(blocks(12))


@pytest.fixture(scope="module")
def cells(plan):
    """What actions show, every title opened."""
    profile, rows = Profile(graph=plan.graph), WhatIfs()
    rows.add(plan, "a plan")
    rows.add(make_plan(plan.graph, order="captured", rewrites=()), "captured")
    more = make_plan(rewritable(12), extra_time=0.2)
    shown = [plan_shown(plan, profile), plan_shown(more, Profile(graph=rewritable(12))), profile_shown(profile)]
    shown += [frontier_shown(FOUND), compare_shown(rows), SweepTable.of(SWEPT)]
    return CELLS.format("".join(one._repr_html_() for one in shown).replace("<details>", "<details open>"))


@pytest.fixture(scope="module")
def tab(browser, plan, tmp_path_factory):
    views = views_of(plan, frontier=FOUND)
    figures = linked(plan, frontier=FOUND)
    with opening(browser, tmp_path_factory.mktemp("words")) as show:
        yield show(page("words", figures, views.tables()).replace("<details>", "<details open>"))


@pytest.fixture(scope="module")
def mixed(browser, tmp_path_factory):
    """A step that is rewritten and runs backward and update by turns: long names, many short phases."""
    plan = make_plan(rewritable(12), extra_time=0.2)
    with opening(browser, tmp_path_factory.mktemp("mixed")) as show:
        yield show(page("mixed", linked(plan)))


@pytest.mark.parametrize("width", sampled([900, 1400, 1900], 1))
def test_no_word_lies_over_another_or_leaves_its_figure(tab, mixed, width):
    for shown in (tab, mixed):
        shown.set_viewport_size({"width": width, "height": 900})
        assert_apart(shown, height=7000)
        assert shown.evaluate(OVERFULL) == []


@pytest.fixture(scope="module")
def narrow(browser, tmp_path_factory):
    """The figures in a notebook beside its file browser, in a window of 900 pixels; long names of modules."""
    graph = rewritable(12)
    ops = (replace(op, module=(op.module or "").replace("mlp", "post_attention_layernorm")) for op in graph.ops)
    plan = make_plan(replace(graph, ops=tuple(ops), name="LlamaForCausalLM"), extra_time=0.2)
    with opening(browser, tmp_path_factory.mktemp("narrow")) as show:
        shown = show(page("narrow", linked(plan)))
        shown.set_viewport_size({"width": 560, "height": 900})
        shown.wait_for_timeout(500)
        yield shown


def test_words_fit_a_narrow_notebook(narrow):
    assert narrow.evaluate(f"({SOURCE})('roam-alive').inner_width") < 560
    assert narrow.evaluate(f"({SOURCE})('roam-graph-cells').data.sub.some((one) => one.includes('\\n'))")
    assert narrow.evaluate(NARROW) == []


@THEMES
def test_all_words_of_the_figures_are_read(tab, scheme):
    tab.emulate_media(color_scheme=scheme)
    tab.wait_for_timeout(300)
    assert_read(tab, height=6000)


@pytest.mark.parametrize("width", sampled([900, 1400, 1900], 1))
def test_no_figure_is_cut_off(tab, width):
    tab.set_viewport_size({"width": width, "height": 900})
    tab.wait_for_timeout(200)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_figures_and_controls_are_reached_by_keys_and_have_a_table(tab, plan):
    views = views_of(plan, frontier=FOUND)
    tab.evaluate("() => { document.activeElement.blur(); getSelection().collapse(document.body, 0) }")
    reached = []
    for _ in range(60):
        tab.keyboard.press("Tab")
        found = tab.evaluate(FOCUSED)
        if reached[:1] == [found]:  # they begin again
            break
        reached.append(found)
    shown = (views.memory, views.icicle, views.graph, views.arena, views.alive, views.frontier)
    for view in shown:
        assert any(label == view.alt for _, label in reached), view.title
    for name in ("noUi-handle", "bk-btn", "bk-input"):
        assert any(name in label for _, label in reached), name
    assert [tag for tag, _ in reached].count("SUMMARY") == len(views.tables()) >= len(shown)


@THEMES
def test_all_words_that_cells_show_are_read(browser, cells, tmp_path, scheme):
    path = tmp_path / "cells.html"
    path.write_text(cells, "utf-8")
    shown = browser.new_page(viewport={"width": 1000, "height": 900}, color_scheme=scheme)
    shown.goto(f"file://{path}")
    open_images(shown)
    assert_read(shown, height=7000)
    shown.close()


@pytest.mark.parametrize("width", sampled([900, 1400], 1))
def test_no_word_that_cells_show_lies_over_another(browser, cells, tmp_path, width):
    path = tmp_path / "cells.html"
    path.write_text(cells, "utf-8")
    shown = browser.new_page(viewport={"width": width, "height": 900})
    shown.goto(f"file://{path}")
    open_images(shown)
    assert_apart(shown, height=9000)
    shown.close()


def test_what_is_crowded_is_found(browser):
    shown = browser.new_page(viewport={"width": 600, "height": 400})
    shown.set_content("""<svg width="300" height="60"><text x="10" y="30">first</text><text x="20" y="32">second</text>
        <text x="270" y="50">beyond the edge</text></svg><p>fine</p><canvas width="200" height="60"></canvas><script>
        addEventListener("resize", () => { const to = document.querySelector("canvas").getContext("2d")
          to.font = "14px sans-serif"; to.fillText("outside", 180, 30); to.fillText("inside", 20, 30) })</script>""")
    found = crowded(shown)
    assert found == ["'beyond the edge' is cut off", "'outside' is cut off", "'second' lies over 'first'"]
    shown.close()


def test_what_is_faint_is_found(browser):
    """Elements, SVG over a dark box, and canvases: each of them once too faint, and once not."""
    shown = browser.new_page(viewport={"width": 600, "height": 400})
    shown.set_content("""<body style="background:#fff"><p style="color:#888">pale</p><p style="color:#666">strong</p>
        <p style="color:#000;opacity:.4">seen through</p><button disabled style="color:#aaa">off</button>
        <svg width="300" height="60"><rect width="150" height="60" fill="#333"/><text x="10" y="30">dark</text>
        <text x="160" y="30">clear</text></svg><canvas width="300" height="60"></canvas><script>
        addEventListener("resize", () => { const to = document.querySelector("canvas").getContext("2d")
          to.fillStyle = "#777"; to.fillRect(0, 0, 150, 60); to.fillStyle = "#222"; to.font = "14px sans-serif"
          to.fillText("grey", 10, 30); to.fillText("plain", 200, 30) })</script>""")
    found = faint(shown)
    assert sorted(one.split('"')[1] for one in found) == ["dark", "grey", "pale", "seen through"]
    assert all(float(one.split()[0]) < LEAST for one in found)
    shown.close()
