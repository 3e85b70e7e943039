"""A search box for a layer, a source line or an op; results are marked in every figure, by JavaScript in the page.

Results are in the source named "roam-found", column "storage", and in "roam-found-steps", column "step".
"""

# bokeh annotates neither its generated initialisers nor its properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, Quad, TextInput
from bokeh.models.dom import Span, Text
from bokeh.models.ui import Pane
from bokeh.plotting import figure
from numpy.typing import NDArray

from roam_lab.report.figures.alive import rows_of
from roam_lab.report.figures.cursor import CONTROLS, LINE, Cursor
from roam_lab.report.figures.graph import FOLD
from roam_lab.report.figures.parts import EDGES, source_of, still
from roam_lab.report.figures.selection import DESCRIBE
from roam_lab.report.figures.stage import Stage
from roam_lab.report.views import Views

SEARCH = files(__package__).joinpath("search.js").read_text("utf-8")
COLOUR = "#d7263d"
RUG = 0.03
"""Height of the rug below the memory curves, as a fraction of the figure."""
TITLE = "search: layer, source line or op"
_FIND = """
const found = searchSteps(steps.data, listsOf(step_names), box.value_input)
const made = searchStorages(tensors.data, found)
const bytes = made.reduce((sum, s) => sum + tensors.data.bytes[s], 0)
const count = (n, noun) => exact(n) + " " + noun + (n === 1 ? "" : "s")
// a title that changes would make the box anew, and take the focus from who types in it
const content = !box.value_input.trim() ? "" : !found.length ? "nothing matches"
  : `found: ${count(found.length, "op")}, ${count(made.length, "storage")}, ${bytesText(bytes)}`
summary.setv({content}, {sync: false})
hits.setv({data: {storage: made}}, {sync: false})
hit_steps.setv({data: {step: found}}, {sync: false})
"""
_RUG = """
const {left} = steps.data, end = x.bounds[1]
const rug = {left: [], right: []}
for (const step of hit_steps.data.step) {
  const right = Math.max(step + 1 < left.length ? left[step + 1] : end, left[step] + end / 900)
  const last = rug.right.length - 1
  if (last >= 0 && left[step] <= rug.right[last]) rug.right[last] = Math.max(rug.right[last], right)
  else { rug.left.push(left[step]); rug.right.push(right) }
}
marks.setv({data: rug}, {sync: false})
"""
_ROWS = """
const rowsOf = (s) => [row_of.data.row[s] ?? -1, row_of.data.twin[s] ?? -1]
marks.setv({data: searchRows(source, rowsOf, hits.data.storage, names)}, {sync: false})
"""
_CELLS = """
const tree = foldTree(words)
const rowOf = foldRowOf(tree, foldRows(tree, words.data.node))
const cells = new Map()
for (const step of hit_steps.data.step) {
  const cell = steps.data.cell[step], row = rowOf[Math.floor(cell / 3)]
  if (row >= 0) cells.set(row * 3 + cell % 3, [...tree.columns[cell % 3], -row - tree.half, -row + tree.half])
}
const columns = [0, 1, 2, 3].map((at) => [...cells.values()].map((edges) => edges[at]))
marks.setv({data: {left: columns[0], right: columns[1], bottom: columns[2], top: columns[3]}}, {sync: false})
"""


@dataclass(frozen=True)
class Search:
    """The box, a line with the number of results, and the results."""

    box: TextInput
    summary: Pane
    hits: ColumnDataSource
    hit_steps: ColumnDataSource


def new_search(stage: Stage, cursor: Cursor, described: dict[str, Any]) -> Search:
    """A search over the steps of `cursor`. `described`: what `describing` returned."""
    hits = stage.source("roam-found", {"storage": []}, "roam-found")
    hit_steps = stage.source("roam-found-steps", {"step": []}, "roam-found-steps")
    look = {"title": TITLE, "placeholder": "h.*.attn   train.py:12   softmax", "width": 250, "stylesheets": [CONTROLS]}
    box = stage.once("roam-search", lambda: TextInput(name="roam-search", **look))
    stage.set(box, value="", value_input="")
    summary = stage.once("roam-search-summary", lambda: Text(content="", name="roam-search-summary"))
    given = {
        "box": box,
        "summary": summary,
        "hits": hits,
        "hit_steps": hit_steps,
        "steps": cursor.steps,
        "step_names": cursor.names,
        "tensors": described["tensors"],
    }
    heard = ((box, "value_input"), (described["tensors"], "data"))
    stage.listen("roam-search.find", DESCRIBE + SEARCH + _FIND, given, *heard)
    line = {"styles": {**LINE, "min-height": "0"}, "html_attributes": {"aria-live": "polite"}}
    pane = stage.once("roam-search.line", lambda: Pane(elements=[Span(children=[summary])], **line))
    return Search(box, pane, hits, hit_steps)


def mark_everywhere(stage: Stage, figures: dict[str, Any], views: Views, search: Search, cursor: Cursor) -> None:
    """Let every figure of one plan show the results; the icicle outlines its boxes itself."""
    memory = views.memory
    mark_steps(stage, figures["memory"], search, cursor, RUG * memory.end_bytes / memory.unit[1])
    edges = {edge: edge for edge in EDGES}
    mark_rows(stage, figures["arena"], search, views.arena.row_of, edges=edges)
    if "alive" in figures:
        mark_rows(stage, figures["alive"], search, *rows_of(views.alive), edges={**edges, "left": "zero"})
    mark_cells(stage, figures["graph"], search, cursor)


def mark_steps(stage: Stage, drawn: figure, search: Search, cursor: Cursor, height: float) -> None:
    """Results as a rug of height `height` at the bottom of a figure over time, up to the end of its x axis."""
    marks = _marks(stage, drawn, {"left": [], "right": []}, {"bottom": 0, "top": height, "fill_color": COLOUR})
    given = {"marks": marks, "hit_steps": search.hit_steps, "steps": cursor.steps, "x": drawn.x_range}
    stage.listen(f"{drawn.name}.marks.draw", _RUG, given, (search.hit_steps, "data"))


def mark_rows(
    stage: Stage,
    drawn: figure,
    search: Search,
    row_of: NDArray[np.int64],
    twin_of: NDArray[np.int64] | None = None,
    *,
    edges: dict[str, str],
) -> None:
    """A frame around each rectangle of `drawn` that shows a storage which was found. `edges`: its source's columns."""
    marks = _marks(stage, drawn, {edge: [] for edge in edges}, {"fill_alpha": 0})
    twins = np.full(len(row_of), -1) if twin_of is None else twin_of
    places = {"row": row_of.astype(np.int32), "twin": twins.astype(np.int32)}
    given = {
        "marks": marks,
        "hits": search.hits,
        "source": source_of(drawn, f"{drawn.name}-data"),
        "row_of": stage.source(f"{drawn.name}.marks.rows", places),
        "names": [list(pair) for pair in edges.items()],
    }
    stage.listen(f"{drawn.name}.marks.draw", SEARCH + _ROWS, given, (search.hits, "data"))


def mark_cells(stage: Stage, drawn: figure, search: Search, cursor: Cursor) -> None:
    """A frame around each cell of the folded graph that runs a step which was found."""
    marks = _marks(stage, drawn, {edge: [] for edge in EDGES}, {"fill_alpha": 0})
    words = source_of(drawn, "roam-opened")
    given = {"marks": marks, "hit_steps": search.hit_steps, "steps": cursor.steps, "words": words}
    stage.listen(f"{drawn.name}.marks.draw", FOLD + _CELLS, given, (search.hit_steps, "data"), (words, "data"))


def _marks(stage: Stage, drawn: figure, data: dict[str, list[float]], look: dict[str, Any]) -> ColumnDataSource:
    """`look`: of the frames, beside their edges, which are columns or given in it."""
    source = stage.source(f"{drawn.name}.marks.data", data, f"{drawn.name}-found")
    edges: dict[str, Any] = {edge: edge for edge in EDGES}
    own = {**edges, "line_color": COLOUR, "line_width": 2.5, **look}
    made = still(stage, drawn, "marks", lambda: Quad(**own), source, level="overlay")
    stage.set(made.glyph, **look)
    return source
