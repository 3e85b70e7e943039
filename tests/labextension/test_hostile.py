"""Hostile plan files run nothing and hang nothing: each gives one message, and JupyterLab goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from roam_lab.plan import Plan
from roam_lab.plan.plan import plan_to_data
from tests.browser import LabPage
from tests.twins import sampled

MARKUP = "<img src=x onerror='window.owned = 1'><script>window.owned = 1</script>"
DEPTH = 200_000

Change = Callable[[dict[str, Any]], Any]


def deep(data: dict[str, Any]) -> str:
    """The plan with a graph nested DEPTH lists deep, written without Python's own recursion limit."""
    text = json.dumps({**data, "graph": "HERE"})
    return text.replace('"HERE"', "[" * DEPTH + "]" * DEPTH)


def deep_shape(data: dict[str, Any]) -> str:
    """As `deep`, in places that are shown as text: refused by nothing, so it must be harmless."""
    data["environment"] = {"torch": "HERE"}
    data["graph"]["storages"][0]["shape"] = ["HERE"]
    return json.dumps(data).replace('"HERE"', "[" * DEPTH + "]" * DEPTH)


def put(*path: Any) -> Change:
    """A change that puts the last of `path` where the others lead."""

    def change(data: dict[str, Any]) -> None:
        place: Any = data
        for key in path[:-2]:
            place = place[key]
        place[path[-2]] = path[-1]

    return change


def overlap(data: dict[str, Any]) -> None:
    data["offsets"] = dict.fromkeys(data["offsets"], 0)


FILES: dict[str, tuple[Change | str | bytes, str]] = {
    "empty": ("", "not JSON"),
    "not_json": ("import os; os.system('true')", "not JSON"),
    "nan": ('{"format": NaN}', "not JSON"),
    "binary": (bytes(range(256)), "cannot be read"),
    "a_list": ("[]", "the file is a list of 0, not an object"),
    "wrong_format": (put("format", "roam-graph/1"), 'format is "roam-graph/1"'),
    "markup_format": (put("format", MARKUP), "format is"),
    "deep": (deep, "graph is a list of 1, not an object"),
    "claimed_storages": (put("graph", "storages", 10**9), "graph: storages is 1000000000, not a list"),
    "claimed_index": (put("graph", "ops", 0, "creates", [10**9]), "op 0: creates names 1000000000, outside 0 to"),
    "claimed_offset": (put("offsets", "1000000000", 0), 'offsets names storage "1000000000"'),
    "strange_offset": (put("offsets", "__proto__", 0), 'offsets names storage "__proto__"'),
    "huge_number": (put("peak_bytes", 10**300), "peak_bytes is 1e+300, not an integer"),
    "huge_storage": (put("graph", "storages", 0, "bytes", 2**70), "storage 0: bytes is"),
    "negative": (put("arena_bytes", -1), "arena_bytes is -1"),
    "offset_outside": (put("offsets", "0", 2**50), "outside the arena"),
    "overlap": (overlap, "share bytes while both live"),
    "order_twice": (put("order", 0, 1), "order is not a permutation"),
    "cycle": (put("graph", "ops", 0, "after", [5]), "op 0 (embedding_0) runs before op 5"),
    "false_claim": (put("captured_peak_bytes", 1), "captured_peak_bytes is 1, but the graph's is"),
    "order_of_texts": (put("order", ["0"] * 9), 'order names "0"'),
}


def write(page: LabPage, plan: Plan, name: str, change: Change | str | bytes) -> str:
    path = page.lab.root / f"hostile_{name}.roam.json"
    if isinstance(change, bytes):
        path.write_bytes(change)
    elif isinstance(change, str):
        path.write_text(change)
    else:
        data = json.loads(json.dumps(plan_to_data(plan)))
        text = change(data)
        path.write_text(text if isinstance(text, str) else json.dumps(data))
    return path.name


def nothing_ran(page: LabPage) -> bool:
    """Whether no script of a file has run; answered by the page, which therefore does not hang."""
    return bool(page.page.evaluate("window.owned === undefined && !document.querySelector('img[src=x]')"))


@pytest.mark.parametrize("name", sampled(FILES, 12))
def test_refused_with_a_message(page: LabPage, plan: Plan, name: str) -> None:
    change, message = FILES[name]
    page.open(write(page, plan, name, change))
    problem = page.locator(".roam-document:visible .roam-problem[role=alert]")
    problem.wait_for()
    assert message in problem.inner_text()
    assert "The viewer failed" not in problem.inner_text()
    assert nothing_ran(page)


def test_two_hundred_megabytes_are_never_read(page: LabPage) -> None:
    path = page.lab.root / "hostile_large.roam.json"
    with path.open("wb") as file:
        file.truncate(200 * 2**20)
    page.open(path.name)
    problem = page.locator(".roam-document:visible .roam-problem")
    problem.wait_for()
    assert "This file has 200 MiB; the viewer opens at most 64 MiB" in problem.inner_text()
    asked = [url for url in page.asked if path.name in url]
    assert asked
    assert all("content=0" in url or "checkpoints" in url for url in asked)
    assert not list(page.lab.root.glob(".ipynb_checkpoints/hostile_large*"))
    path.unlink()


def test_a_file_that_would_keep_the_page_busy(page: LabPage) -> None:
    """Every storage alive to the end, each below the one before: the worst for a list sorted by offset."""
    count = 150_000
    data = {
        "format": "roam-plan/2", "graph_sha256": "", "order": list(range(count)), "arena_bytes": count,
        "offsets": {str(index): count - 1 - index for index in range(count)}, "peak_bytes": count,
        "captured_peak_bytes": count, "lower_bound_bytes": 0, "optimal": False, "order_strategy": "",
        "layout_strategy": "",
        "graph": {
            "format": "roam-graph/1", "storages": [{"bytes": 1, "output": True}] * count,
            "ops": [{"creates": [index]} for index in range(count)],
        },
    }  # fmt: skip
    (page.lab.root / "hostile_busy.roam.json").write_text(json.dumps(data))
    page.open("hostile_busy.roam.json")
    problem = page.locator(".roam-document:visible .roam-problem")
    problem.wait_for()
    assert "too many storages live at once" in problem.inner_text()
    assert nothing_ran(page)
    (page.lab.root / "hostile_busy.roam.json").unlink()


def test_markup_in_names_stays_text(page: LabPage, plan: Plan) -> None:
    def change(data: dict[str, Any]) -> None:
        data["graph"]["name"] = data["order_strategy"] = data["environment"]["torch"] = MARKUP
        for op in data["graph"]["ops"]:
            op["name"] = op["module"] = op["source"] = MARKUP
        for storage in data["graph"]["storages"]:
            storage["kind"] = storage["dtype"] = MARKUP

    page.open(write(page, plan, "markup", change))
    shown = page.locator(".roam-document:visible")
    shown.locator(".roam-grid-row").first.click()
    assert shown.locator("h2").inner_text() == MARKUP
    assert MARKUP in shown.locator(".roam-chosen").inner_text()
    assert MARKUP in shown.locator(".roam-grid-row").first.inner_text()
    shown.locator(".roam-plot-canvas").nth(1).hover()
    assert shown.locator("script, img").count() == 0
    assert nothing_ran(page)


def test_depth_where_text_belongs_is_harmless(page: LabPage, plan: Plan) -> None:
    page.open(write(page, plan, "deep_shape", deep_shape))
    page.locator(".roam-document:visible [data-figure=planned]").wait_for()
    assert nothing_ran(page)


def test_the_same_in_the_side_panel(page: LabPage, plan: Plan) -> None:
    """The panel reads every file of the folder, hostile ones too, and tells why it lists no figure of them."""
    write(page, plan, "panel", put("format", MARKUP))
    page.page.evaluate("window.jupyterapp.shell.activateById('roam-plans-panel')")
    item = page.locator(".roam-plans li[data-path='hostile_panel.roam.json']")
    item.get_by_text("format is").wait_for()
    assert item.locator("input").is_disabled()
    assert nothing_ran(page)
