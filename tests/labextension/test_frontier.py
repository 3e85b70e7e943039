"""A frontier's file opened in real JupyterLab, against what Python says of it; a bad one tells why it is not shown."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from roam_lab.report.units import bytes_text, change_text, exact_text
from tests.browser import LabPage
from tests.contrast import assert_apart, assert_read
from tests.report.views.test_frontier import FOUND

CAPTURED = FOUND.resident_bytes + FOUND.captured_peak_bytes


@pytest.mark.parametrize("name", ["step.frontier.json", "points.json"])
def test_points_are_those_of_the_file(page: LabPage, name: str) -> None:
    FOUND.save(page.lab.root / name)
    page.open(name, None if name.endswith(".frontier.json") else "ROAM plan")
    shown = page.locator(".roam-document:visible")
    shown.locator("canvas[data-draw-milliseconds]").wait_for()
    assert shown.locator("h2").inner_text() == f"Frontier of {FOUND.name}"
    assert f"{bytes_text(CAPTURED)} in captured order" in shown.locator(".roam-verdict").inner_text()
    rows = [line.split("\t") for line in shown.locator("tbody").inner_text().splitlines()]
    found = [*FOUND.points, *([FOUND.checkpointed] if FOUND.checkpointed else [])]
    assert [row[1] for row in rows] == [f"{100 * point.extra_time:.1f} %" for point in found]
    assert [row[2] for row in rows] == [bytes_text(FOUND.resident_bytes + point.arena_bytes) for point in found]
    assert [row[4] for row in rows] == [exact_text(point.arena_bytes) for point in found]


LINES = """all => all.map(one => {
  const range = document.createRange()
  range.selectNodeContents(one)
  return new Set([...range.getClientRects()].map(box => Math.round(box.y))).size
})"""
"""How many lines of text each element has."""


def test_on_a_narrow_page_words_and_figures_are_whole(page: LabPage) -> None:
    FOUND.save(page.lab.root / "narrow.frontier.json")
    size = page.page.viewport_size
    page.page.set_viewport_size({"width": 900, "height": 1000})
    page.open("narrow.frontier.json")
    table = page.locator(".roam-document:visible .roam-texttable")
    table.wait_for()
    change = table.get_by_role("columnheader", name="change").evaluate_all(LINES)
    figures = table.locator("tbody td").filter(has_text="bytes").evaluate_all(LINES)
    page.page.set_viewport_size(size)
    assert change == [1]
    assert figures == [1, 1, 1]


def test_eager_is_what_headlines_call_so_where_the_file_knows_it(page: LabPage) -> None:
    replace(FOUND, eager_peak_bytes=2 * FOUND.captured_peak_bytes).save(page.lab.root / "known.frontier.json")
    page.open("known.frontier.json")
    shown = page.locator(".roam-document:visible")
    shown.locator("canvas[data-draw-milliseconds]").wait_for()
    whole = FOUND.resident_bytes + 2 * FOUND.captured_peak_bytes
    assert f"predicted: {bytes_text(whole)} eager; " in shown.locator(".roam-verdict").inner_text()
    assert shown.get_by_text(f"eager {bytes_text(whole)}", exact=True).count() == 1
    change = change_text(whole, FOUND.resident_bytes + FOUND.points[0].arena_bytes)
    assert change.removeprefix("-") in shown.locator(".roam-texttable").inner_text()


def test_every_word_is_read_in_both_themes(page: LabPage) -> None:
    FOUND.save(page.lab.root / "step.frontier.json")
    page.open("step.frontier.json")
    page.locator(".roam-document:visible canvas[data-draw-milliseconds]").wait_for()
    for dark in (False, True):
        page.theme(dark)
        assert_read(page.page, ".roam-view")
        assert_apart(page.page, ".roam-view")
    page.theme(False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"points": [3]}, "point 0 is 3, not an object"),
        ({"points": [{**FOUND.to_data()["points"][0], "extra_time": -1}]}, "extra_time of point 0 is -1, not a number"),
        ({"resident_bytes": "<b>"}, 'resident_bytes is "<b>", not an integer'),
        ({"points": [FOUND.to_data()["points"][0]] * 10_001}, "points has 10001 entries"),
    ],
    ids=["no point", "negative", "markup", "many"],
)
def test_a_bad_one_says_why(page: LabPage, change: dict[str, object], words: str) -> None:
    (page.lab.root / "bad.frontier.json").write_text(json.dumps({**FOUND.to_data(), **change}))
    page.open("bad.frontier.json")
    alert = page.locator(".roam-document:visible [role=alert]")
    alert.wait_for()
    assert words in alert.inner_text()
