"""Folding in the page: `fold.js`, run by node, lays out as the views do; skipped where there is no node."""

import json
import shutil
import subprocess

import pytest

from roam_lab.plan import make_plan
from roam_lab.report.figures.graph import FOLD
from roam_lab.report.figures.graph_columns import graph_columns, tree_data
from roam_lab.report.figures.theme import ink_of
from roam_lab.report.views.folding import first_opened, toggled
from roam_lab.report.views.graph import graph_view, view_of
from tests.plan.graphs import empty, random_graph
from tests.report.graphs import branches
from tests.report.views.graphs import bare_of_places, blocks

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed, so fold.js cannot be run")

RUN = """
const { tree, first, clicks, storages } = JSON.parse(require("fs").readFileSync(0, "utf8"))
let opened = first
const seen = [[opened, foldColumns(tree, opened, -1)]]
clicks.forEach((node, at) => {
  opened = foldToggled(tree, opened, node)
  seen.push([opened, foldColumns(tree, opened, storages[at])])
})
console.log(JSON.stringify(seen))
"""


def same(ours, theirs):
    """Equal, numbers within rounding."""
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return ours == (pytest.approx(theirs) if isinstance(ours, float) else theirs)


@pytest.mark.parametrize(
    "graph",
    [blocks(12), blocks(48, width=6), bare_of_places(blocks(40)), branches(), empty(), random_graph(5, 20)],
    ids=lambda graph: f"{graph.name}{len(graph.ops)}",
)
def test_the_page_folds_as_python_does(graph):
    plan = make_plan(graph, order="captured")
    view = graph_view(plan)
    ink = ink_of("light")
    clicks = [number for number, node in enumerate(view.tree.nodes) if node.children][:40] * 2
    storages = [at % len(graph.storages) if graph.storages else -1 for at in range(len(clicks))]
    given = {"tree": tree_data(view, ink), "first": list(view.opened), "clicks": clicks, "storages": storages}
    done = subprocess.run([NODE, "-e", FOLD + RUN], input=json.dumps(given), capture_output=True, text=True, check=True)
    opened = first_opened(view.tree)
    expected = [(opened, graph_columns(view, ink))]
    for node, storage in zip(clicks, storages, strict=True):
        opened = toggled(view.tree, opened, node)
        expected.append((opened, graph_columns(view_of(view.tree, opened, plan.peak_bytes), ink, storage)))
    seen = json.loads(done.stdout)
    assert len(seen) == len(expected) >= 1
    for (here, columns), (there, laid) in zip(expected, seen, strict=True):
        assert list(here) == there
        for name, data in columns.items():
            assert same(data, laid[name]), name
