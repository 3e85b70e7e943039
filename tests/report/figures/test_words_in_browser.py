"""Every word of the figures and of what cells show has a contrast of 4.5, in light and dark, and nothing is cut off."""

from __future__ import annotations

import pytest

from roam_lab.lab.shown import compare_shown, frontier_shown, plan_shown, profile_shown
from roam_lab.plan import Profile, make_plan
from roam_lab.report.figures import linked, page
from roam_lab.report.views import views_of
from roam_lab.report.whatifs import WhatIfs
from tests.contrast import LEAST, assert_read, faint
from tests.report.figures.conftest import opening
from tests.report.figures.in_page import planned
from tests.report.views.graphs import blocks
from tests.report.views.test_frontier import FOUND

CELLS = """<!DOCTYPE html><html lang="en"><meta charset="utf-8"><style>:root {{ color-scheme: light dark }}
body {{ font: 13px system-ui, sans-serif }}</style><body>{}</body></html>"""
FOCUSED = """() => {
  let one = document.activeElement
  while (one?.shadowRoot?.activeElement) one = one.shadowRoot.activeElement
  return [one.tagName, one.getAttribute("aria-label") ?? String(one.className)]
}"""
THEMES = pytest.mark.parametrize("scheme", ["light", "dark"])


@pytest.fixture(scope="module")
def plan():
    return planned(blocks(12))


@pytest.fixture(scope="module")
def cells(plan):
    """What actions show, every title opened."""
    profile, rows = Profile(graph=plan.graph), WhatIfs()
    rows.add(plan, "a plan")
    rows.add(make_plan(plan.graph, order="captured", rewrites=()), "captured")
    shown = (plan_shown(plan, profile), profile_shown(profile), frontier_shown(FOUND), compare_shown(rows))
    return CELLS.format("".join(one._repr_html_() for one in shown).replace("<details>", "<details open>"))


@pytest.fixture(scope="module")
def tab(browser, plan, tmp_path_factory):
    views = views_of(plan, frontier=FOUND)
    figures = linked(plan, frontier=FOUND)
    with opening(browser, tmp_path_factory.mktemp("words")) as show:
        yield show(page("words", figures, views.tables()).replace("<details>", "<details open>"))


@THEMES
def test_all_words_of_the_figures_are_read(tab, scheme):
    tab.emulate_media(color_scheme=scheme)
    tab.wait_for_timeout(300)
    assert_read(tab, height=6000)


@pytest.mark.parametrize("width", [900, 1400, 1900])
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
        told = tab.evaluate(FOCUSED)
        if reached[:1] == [told]:  # they begin again
            break
        reached.append(told)
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
    assert_read(shown, height=7000)
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
