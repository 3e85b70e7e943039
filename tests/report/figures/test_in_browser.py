"""The figures in a real browser, as one offline page: clicks select and open, hostile names only show."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import pytest

from roam_lab.plan import Profile, make_plan
from roam_lab.report.figures import linked, page
from roam_lab.report.figures.icicle_columns import icicle_columns
from roam_lab.report.figures.theme import INKS
from roam_lab.report.views import views_of
from roam_lab.report.views.cursor import step_text
from roam_lab.report.views.details import details
from roam_lab.report.views.graph import HALF
from tests.report.graphs import branches, chain
from tests.report.views.graphs import blocks, scalars, tree_of

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


def place_in(tab, figure, x, y):
    """Pixels of a place in a figure, in parts of its plot from the left and from above."""
    return tab.evaluate(
        f"""([name, x, y]) => {{
          const model = ({SOURCE})(name)
          const view = Bokeh.index.find_one(model) ?? [...Bokeh.index].map(v => v.find_one?.(model)).find(v => v)
          view.el.scrollIntoView({{block: "center"}})
          const box = view.canvas_view.el.getBoundingClientRect(), plot = view.frame.bbox
          return [box.x + plot.left + x * plot.width, box.y + plot.top + y * plot.height]
        }}""",
        [figure, x, y],
    )


def step_of(tab):
    """The step under the cursor, once every figure has had a frame to follow it."""
    tab.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return column(tab, "roam-cursor", "step")[0]


def drag(tab, figure, start, end):
    """Drag across a figure, from one part of its width to another."""
    tab.mouse.move(*place_in(tab, figure, start, 0.5))
    tab.mouse.down()
    for part in (0.5, 1.0):
        tab.mouse.move(*place_in(tab, figure, start + (end - start) * part, 0.5))
    tab.mouse.up()
    return step_of(tab)


def attribute(tab, name, key):
    return tab.evaluate(f"([name, key]) => ({SOURCE})(name)[key]", [name, key])


def assert_all_follow(tab, views, step):
    """Whether every figure, the slider and the line of words show `step`."""
    known, axis = views.tensors, views.memory.axis
    told = icicle_columns(replace(views.icicle, step=step), 700)
    data = {key: column(tab, "roam-icicle-data", key) for key in ("level", "bytes", "label", "left")}
    assert data["label"][0] == views.icicle.head(step) and data["bytes"][0] == known.live_bytes[step]
    assert data["level"] == told["level"] and data["bytes"] == told["bytes"]
    assert data["left"] == [pytest.approx(left) for left in told["left"]]
    lines = tab.evaluate(
        f"() => ['roam-memory', 'roam-arena'].map(name => ({SOURCE})(name).center.find(one => one.type === 'Span' && "
        "one.dimension === 'height').location)"
    )
    assert lines == [pytest.approx(axis.edges[step])] * 2
    frame = tab.evaluate(f"() => ({SOURCE})('roam-graph').center.find(one => one.type === 'BoxAnnotation').bottom")
    row = views.graph.row_of(int(views.graph.tree.leaf_of_op[known.order[step]]))
    assert frame == pytest.approx(-row - HALF)
    assert attribute(tab, "roam-slider", "value") == step + 1
    assert tab.get_by_text(step_text(known, step)).count() == 1


def test_a_click_in_the_arena_selects_everywhere(shown):
    plan = planned(blocks(4))
    views = views_of(plan)
    tab = shown(page("linked", linked(plan), views.tables()))
    assert "Nothing selected" in tab.locator("[role=status]").inner_text()
    row = int((views.arena.top - views.arena.bottom).argmax())
    storage = int(views.arena.storage[row])
    unit = views.arena.unit[1]
    middle = (
        (views.arena.left[row] + views.arena.right[row]) / 2,
        (views.arena.top[row] + views.arena.bottom[row]) / 2,
    )
    click_at(tab, "roam-arena", float(middle[0]), float(middle[1]) / unit)
    assert column(tab, "roam-selection", "storage") == [storage]
    told = tab.locator("[role=status]").inner_text().replace("\n", "")
    assert told == "".join(label + text for label, text in details(views.tensors, storage, views.icicle.step))
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


def test_the_cursor_is_one_in_all_figures(shown):
    plan = planned(blocks(12))
    views = views_of(plan)
    tab = shown(page("cursor", linked(plan)))
    assert_all_follow(tab, views, views.icicle.step)
    step = drag(tab, "roam-memory", 0.5, 0.25)
    assert step == views.memory.axis.step_at(0.25 * views.memory.axis.end) != views.icicle.step
    assert_all_follow(tab, views, step)
    step = drag(tab, "roam-arena", 0.3, 0.8)
    assert step == views.memory.axis.step_at(0.8 * views.memory.axis.end)
    assert_all_follow(tab, views, step)
    back = drag(tab, "roam-icicle", 0.5, 0.4)  # a tenth of its width is a tenth of the step
    assert back == pytest.approx(step - len(plan.order) / 10, abs=1)
    assert_all_follow(tab, views, back)
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
    for key, wanted in (("End", len(plan.order) - 1), ("Home", 0), ("PageUp", round(len(plan.order) / 20))):
        tab.keyboard.press(key)
        assert step_of(tab) == wanted, key
    assert_all_follow(tab, views, wanted)


def test_what_a_search_finds_is_marked_everywhere(shown):
    plan = planned(blocks(12))
    views = views_of(plan)
    known = views.tensors
    tab = shown(page("search", linked(plan)))
    box = tab.locator("input[type=text]")
    box.fill("h.*.mlp mm model.py")
    found = [one for one in range(len(known.bytes)) if ".mlp" in known.module(one)]
    tab.wait_for_function(f"() => ({SOURCE})('roam-found').data.storage.length === {len(found)}")
    assert column(tab, "roam-found", "storage") == found
    step_of(tab)
    assert len(column(tab, "roam-arena-found", "left")) == len({int(views.arena.row_of[one]) for one in found})
    assert len(column(tab, "roam-memory-found", "left")) >= 12
    assert column(tab, "roam-graph-found", "left").count(0.0) >= 1
    assert column(tab, "roam-icicle-data", "thick").count(3) >= 1
    assert f"{len(found)} storages" in attribute(tab, "roam-search", "title")
    box.fill("no such (layer")
    tab.wait_for_function(f"() => ({SOURCE})('roam-search').title === 'nothing matches'")
    for name in ("roam-arena", "roam-memory", "roam-graph", "roam-alive"):
        assert column(tab, f"{name}-found", "left") == []


def test_auto_is_the_theme_of_the_page_behind(shown):
    tab = shown(page("theme", linked(planned(branches())), dark=True))
    inked = f"wanted => ({SOURCE})('roam-arena').title.text_color === wanted"
    tab.wait_for_function(inked, arg=INKS["dark"].text)
    tab.evaluate("() => { document.body.style.background = '#fff' }")  # as a user changes JupyterLab's theme
    tab.wait_for_function(inked, arg=INKS["light"].text)
    axis = f"() => ({SOURCE})('roam-arena').below[0]"
    assert tab.evaluate(f"({axis})().major_label_text_color") == INKS["light"].text
    assert tab.evaluate(f"({axis})().axis_line_color") == INKS["light"].axis


def test_a_click_on_a_bar_of_another_graph_dims_nothing(shown):
    profile = Profile(graph=chain(4), eager_graph=branches())
    tab = shown(page("captured", linked(make_plan(chain(4)), profile)))
    bar = {key: column(tab, "roam-alive-data", key)[0] for key in ("storage", "right", "y")}
    assert bar["storage"] == -1
    click_at(tab, "roam-alive", bar["right"] / 2, bar["y"])
    assert selected(tab, "roam-alive-data") == []
    assert column(tab, "roam-selection", "storage") == [-1]


def test_a_click_in_the_icicle_zooms_in_and_out(shown):
    plan = planned(blocks(12))
    view = views_of(plan).icicle
    tab = shown(page("zoom", linked(plan)))
    first = next(box for box in view.boxes if box.level == 1)
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


def test_ticks_name_real_steps(shown):
    plan = planned(scalars(400))
    tab = shown(page("ticks", linked(plan)))
    shows = tab.evaluate(
        f"""() => {{
          const axis = ({SOURCE})('roam-memory').below[0]
          const {{major}} = axis.ticker.get_ticks(0, 2, null, 0)
          return [major, axis.formatter.doFormat(major, {{loc: 0}})]
        }}"""
    )
    view = views_of(plan).memory.axis
    assert view.clock == "working" and view.end == 2.0
    assert [int(text.replace(",", "")) for text in shows[1]] == [50]  # all others stand where it does
    assert shows[0] == [view.edges[49]]
