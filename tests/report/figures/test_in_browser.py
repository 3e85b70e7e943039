"""The figures in a real browser, as one offline page: clicks select and open, hostile names only show."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import pytest

from roam_lab.plan import make_plan
from roam_lab.report.figures import linked, page
from roam_lab.report.views import views_of
from tests.report.views.graphs import blocks, tree_of

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = os.environ.get("ROAM_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine; name one in ROAM_CHROMIUM")

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
READY = "window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle"
SOURCE = """name => {
  const found = Bokeh.documents[0]._all_models ?? Bokeh.documents[0].all_models
  for (const model of found.values()) if (model.name === name) return model
}"""


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture
def shown(browser, tmp_path):
    """Open a document; the test fails at its end if it asked for anything or raised an error."""
    complaints: list[str] = []
    opened = []

    def show(document: str):
        path = tmp_path / "page.html"
        path.write_text(document, "utf-8")
        tab = browser.new_page(viewport={"width": 1000, "height": 900})
        opened.append(tab)
        tab.on("pageerror", lambda error: complaints.append(f"{error}\n{error.stack}"))
        tab.on("console", lambda told: complaints.append(told.text) if told.type == "error" else None)
        tab.on("request", lambda sent: complaints.append(sent.url) if sent.url.startswith("http") else None)
        tab.goto(f"file://{path}")
        tab.wait_for_function(READY)
        return tab

    yield show
    for tab in opened:
        tab.wait_for_timeout(200)
        tab.close()
    assert complaints == []


def planned(graph):
    plan = make_plan(graph)
    return replace(plan, tasks=tree_of(plan.order))


def column(tab, name, key):
    return tab.evaluate(f"([name, key]) => Array.from(({SOURCE})(name).data[key])", [name, key])


def selected(tab, name):
    return tab.evaluate(f"name => Array.from(({SOURCE})(name).selected.indices)", name)


def click_at(tab, figure, x, y):
    """Click at data coordinates of the figure named `figure`."""
    place = tab.evaluate(
        f"""([name, x, y]) => {{
          const model = ({SOURCE})(name)
          const view = Bokeh.index.find_one(model) ?? [...Bokeh.index].map(v => v.find_one?.(model)).find(v => v)
          view.el.scrollIntoView({{block: "center"}})
          const frame = view.frame ?? view.plot_view?.frame
          const box = view.canvas_view.el.getBoundingClientRect()
          return [box.x + frame.x_scale.compute(x), box.y + frame.y_scale.compute(y)]
        }}""",
        [figure, x, y],
    )
    tab.mouse.click(*place)
    tab.wait_for_timeout(450)  # bokeh waits whether a second click makes it a double one


def test_a_click_in_the_arena_selects_everywhere(shown):
    plan = planned(blocks(4))
    views = views_of(plan)
    tab = shown(page("linked", linked(plan), views.tables()))
    assert "Nothing selected" in tab.locator("[role=status] span").inner_text()
    row = int((views.arena.top - views.arena.bottom).argmax())
    storage = int(views.arena.storage[row])
    unit = views.arena.unit[1]
    middle = (
        (views.arena.left[row] + views.arena.right[row]) / 2,
        (views.arena.top[row] + views.arena.bottom[row]) / 2,
    )
    click_at(tab, "roam-arena", float(middle[0]), float(middle[1]) / unit)
    assert column(tab, "roam-selection", "storage") == [storage]
    told = tab.locator("[role=status] span")
    assert told.inner_text() == views.tensors.card(storage)
    assert selected(tab, "roam-arena-data") == [row]
    assert selected(tab, "roam-tasks-data") == [int(views.tasks.row_of[storage])]
    assert column(tab, "roam-graph-cells", "width").count(4) == 1
    assert all(column(tab, "roam-alive-data", "storage")[at] == storage for at in selected(tab, "roam-alive-data"))


def test_a_click_opens_a_module_and_its_bar_folds_it(shown):
    plan = planned(blocks(20))
    tab = shown(page("graph", linked(plan)))
    before = column(tab, "roam-graph-cells", "label")
    folded = next(at for at, text in enumerate(before) if "×" in text)
    cell = {key: column(tab, "roam-graph-cells", key)[folded] for key in ("middle", "bottom", "top")}
    click_at(tab, "roam-graph", cell["middle"], (cell["bottom"] + cell["top"]) / 2)
    after = column(tab, "roam-graph-cells", "label")
    assert len(after) > len(before)
    assert before[folded] not in after
    labels = column(tab, "roam-graph-brackets", "label")
    at = labels.index(before[folded])
    click_at(
        tab,
        "roam-graph",
        column(tab, "roam-graph-brackets", "middle")[at],
        column(tab, "roam-graph-brackets", "centre")[at] + 0.2,
    )
    assert column(tab, "roam-graph-cells", "label") == before


def test_a_leaf_selects_its_largest_storage(shown):
    plan = planned(blocks(2))
    tab = shown(page("graph", linked(plan)))
    cells = {key: column(tab, "roam-graph-cells", key) for key in ("node", "storage", "middle", "bottom", "top")}
    tree = views_of(plan).graph.tree
    leaf = next(
        at for at, node in enumerate(cells["node"]) if not tree.nodes[node].children and cells["storage"][at] >= 0
    )
    click_at(tab, "roam-graph", cells["middle"][leaf], (cells["bottom"][leaf] + cells["top"][leaf]) / 2)
    assert column(tab, "roam-selection", "storage") == [cells["storage"][leaf]]


def test_hostile_names_only_show(shown):
    plan = planned(blocks(3, hostile=True))
    views = views_of(plan)
    tab = shown(page("hostile", linked(plan, selected=0), views.tables()))
    assert tab.title() == "hostile"
    assert tab.get_by_text("</script><script>").count() >= 1  # letter by letter
    left, right, bottom, top = (column(tab, "roam-arena-data", key)[0] for key in ("left", "right", "bottom", "top"))
    places = {
        "roam-arena": ((left + right) / 2, (bottom + top) / 2),
        "roam-alive": (column(tab, "roam-alive-data", "right")[0] / 2, column(tab, "roam-alive-data", "y")[0]),
        "roam-graph": (column(tab, "roam-graph-cells", "middle")[0], column(tab, "roam-graph-cells", "lower")[0]),
    }
    for name, (x, y) in places.items():
        click_at(tab, name, x, y)  # and the tooltip opens
        assert tab.locator(".bk-tooltip, .bk-Tooltip").count() >= 1, name
    assert tab.title() == "hostile"
