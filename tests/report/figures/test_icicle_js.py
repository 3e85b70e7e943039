"""What the page draws at a moved cursor is what Python would: `icicle.js`, `details.js` and ticks, run by node."""

import json
import shutil
import subprocess

import pytest

from roam_lab.ir import captured_order
from roam_lab.plan import make_plan
from roam_lab.report.figures.cursor import new_cursor
from roam_lab.report.figures.details import DETAILS, details_pane
from roam_lab.report.figures.icicle import ICICLE
from roam_lab.report.figures.icicle_columns import alive_data, icicle_columns, word_columns
from roam_lab.report.figures.selection import DESCRIBE, describing, new_selection, parts_of
from roam_lab.report.figures.theme import plain
from roam_lab.report.figures.ticks import TICK_TEXT, TICKS
from roam_lab.report.views.axis import CLOSEST, axis
from roam_lab.report.views.details import details
from roam_lab.report.views.icicle import EVERYTHING, icicle_view
from roam_lab.report.views.modules import module_tree
from tests.plan.graphs import empty, random_graph
from tests.report.figures.test_fold_js import same
from tests.report.graphs import branches
from tests.report.views.graphs import bare_of_places, blocks, scalars

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed, so the page's JavaScript cannot be run")
GRAPHS = [blocks(12), bare_of_places(blocks(20)), branches(), empty(), random_graph(5, 20, external=True)]
RUN = """
const { alive, d, ops, asked, width } = JSON.parse(require("fs").readFileSync(0, "utf8"))
console.log(JSON.stringify(asked.map(([step, focus]) => {
  const boxes = icicleBoxes(alive, d, icicleHead(alive, d, ops[step], step), step, focus)
  const columns = icicleColumns(alive, boxes, width, -1, () => false)
  return {...columns, words: icicleWords(columns)}
})))
"""
RUN_DETAILS = """
const { page, asked } = JSON.parse(require("fs").readFileSync(0, "utf8"))
console.log(JSON.stringify(asked.map(([storage, step]) => detailsRows(page, storage, step))))
"""


def run(code, given):
    done = subprocess.run([NODE, "-e", code], input=json.dumps(given), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def columns(source):
    return {name: values if isinstance(values, list) else values.tolist() for name, values in source.data.items()}


def code(source):
    return source and f"loss = {source}"


def named(graph):
    return f"{graph.name}{len(graph.ops)}"


@pytest.mark.parametrize("graph", GRAPHS, ids=named)
def test_the_page_lays_out_the_icicle_as_python_does(graph):
    plan = make_plan(graph, order="captured")
    views = [icicle_view(plan, step) for step in range(len(plan.order))] or [icicle_view(plan)]
    first = views[0]
    data = columns(describing(first.tensors)["tensors"]) | {"group": first.group.tolist()}
    nodes = range(EVERYTHING, len(first.patterns) + len(first.groups))
    asked = [(view, focus) for view in views for focus in nodes][:: max(len(views) // 6, 1)]
    given = {
        "alive": alive_data(first),
        "d": data,
        "ops": [graph.ops[index].name for index in plan.order],
        "asked": [(view.step, focus) for view, focus in asked],
        "width": 700,
    }
    found = run(ICICLE + RUN, given)
    assert len(found) == len(asked) >= 1
    for (view, focus), laid in zip(asked, found, strict=True):
        ours = icicle_columns(view, 700, boxes=view.at(view.step, focus))
        ours["words"] = word_columns(ours)
        assert ours.keys() == laid.keys()
        for name, column in ours.items():
            assert same(column, laid[name]), (name, view.step, focus)


@pytest.mark.parametrize("graph", GRAPHS, ids=named)
def test_the_pane_says_in_the_page_what_python_says(graph):
    plan = make_plan(graph)
    known = icicle_view(plan).tensors
    cursor = new_cursor(known, axis(graph, plan.order), module_tree(graph, plan.order), 0)
    pane = details_pane(new_selection(), cursor, known, described := describing(known), code)
    arguments = cursor.now.js_property_callbacks["change:data"][0].args
    page = {name: arguments[name] for name in ("again", "phases", "nothing")}
    page |= parts_of(described["names"]) | parts_of(arguments["facts"])
    page |= {"stepModules": parts_of(cursor.names)["modules"], "steps": columns(cursor.steps)}
    page |= {"tensors": columns(described["tensors"])}
    page |= {"facts": columns(arguments["facts"])}
    page |= {"usesAt": columns(arguments["uses_at"])["at"], "uses": columns(arguments["uses"])["step"]}
    steps = range(0, len(plan.order), max(len(plan.order) // 5, 1)) or [0]
    asked = [(storage, step) for storage in range(-1, len(known.bytes)) for step in steps]
    found = run(DESCRIBE + DETAILS + RUN_DETAILS, {"page": page, "asked": asked})
    for (storage, step), rows in zip(asked, found, strict=True):
        seen = details(known, storage, step, code)
        assert [(label, plain(text)) for label, text in seen] == [tuple(row) for row in rows]
    assert pane.html_attributes["role"] == "status"


@pytest.mark.parametrize("clock", ["steps", "working"])
def test_ticks_in_the_page_name_real_steps(clock):
    time = axis(graph := scalars(398), captured_order(graph), clock)
    code = """
    const { left, end } = JSON.parse(require("fs").readFileSync(0, "utf8"))
    const edges = { data: { left } }
    const major = new Function("cb_data", "edges", "closest", TICKS)({ start: 0, end }, edges, CLOSEST)
    console.log(JSON.stringify(major.map((tick) => [tick, new Function("tick", "edges", TEXT)(tick, edges)])))
    """
    for name, text in (("TICKS", TICKS), ("CLOSEST", CLOSEST), ("TEXT", TICK_TEXT)):
        code = code.replace(name, json.dumps(text))
    ticks = run(code, {"left": time.edges[:-1].tolist(), "end": time.end})
    assert [tuple(tick) for tick in ticks] == time.ticks(8)
