"""The icicle of bytes alive in bokeh; it is laid out in the page (`icicle.js`) at every move of the cursor.

A click on a module or an operator zooms in to it, a click on the top box zooms out again, a click on a storage selects
it. The node zoomed in to is in the source named "roam-icicle-focus", column "node".
"""

# bokeh annotates neither its generated initialisers nor the selection_ and nonselection_ properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJS, Range1d, Text
from bokeh.plotting import figure

from roam_lab.report.figures.cursor import CURSOR, Cursor, scrubbed
from roam_lab.report.figures.icicle_columns import alive_data, icicle_columns, word_columns
from roam_lab.report.figures.selection import UNITS, carry, describing, new_selection
from roam_lab.report.figures.theme import WIDTH, Theme, empty, hover, ink_of, key_of_looks, rectangles, still
from roam_lab.report.views.icicle import EVERYTHING, LEVELS, IcicleView
from roam_lab.report.views.look import looks_in

HEIGHT = 290
MARGIN = 60
"""Approximate pixels beside the plot: the page lays out again as soon as it knows the real ones."""
ICICLE = UNITS + files(__package__).joinpath("icicle.js").read_text("utf-8")
_DRAW = """
cursorFrame(focus, () => {
  const alive = focus._roam_tags === focus.tags[0] ? focus._roam_alive : JSON.parse(focus.tags[0])
  focus._roam_tags = focus.tags[0]
  focus._roam_alive = alive
  const d = {...tensors.data, group: groups.data.group}
  const step = now.data.step[0]
  const head = icicleHead(alive, d, steps.data.op[step], step)
  const boxes = icicleBoxes(alive, d, head, step, focus.data.node[0])
  const hits = new Set(found.data.storage)
  const columns = icicleColumns(alive, boxes, fig.inner_width ?? 800, selection.data.storage[0], (s) => hits.has(s))
  source.selected.setv({indices: []}, {sync: false})
  source.inspected.setv({indices: []}, {sync: false})
  words.setv({data: icicleWords(columns)}, {sync: false})
  source.setv({data: columns}, {sync: false})
})
"""
_ZOOM = """
const at = cb_obj.indices[0]
if (at === undefined) return
cb_obj.indices = []
const {level, node, storage} = source.data
if (level[at] === 3) {
  if (storage[at] >= 0) selection.data = {storage: [selection.data.storage[0] === storage[at] ? -1 : storage[at]]}
} else if (level[at] === 0 || node[at] >= 0)
  focus.data = {node: [node[at] === focus.data.node[0] ? -1 : node[at]]}
"""


def icicle_figure(
    view: IcicleView,
    cursor: Cursor,
    *,
    theme: Theme = "auto",
    selection: ColumnDataSource | None = None,
    described: dict[str, Any] | None = None,
    found: ColumnDataSource | None = None,
    places: bool = False,
) -> figure:
    """What is alive under `cursor`. `described`: of `describing`; `found`: what a search found, to be shared;
    `places`: as in `looks_in`."""
    ink = ink_of(theme)
    selection = selection or new_selection()
    drawn = empty(
        "icicle",
        view,
        ink,
        HEIGHT,
        "tap,save",
        x_range=Range1d(0, 1),
        y_range=Range1d(-LEVELS, 0),
        x_axis_type=None,
        y_axis_type=None,
    )
    carry(drawn, selection)
    picked = int(selection.data["storage"][0])
    columns = icicle_columns(view, WIDTH - MARGIN, picked)
    source = ColumnDataSource(data=columns, name="roam-icicle-data")
    words = ColumnDataSource(data=word_columns(columns), name="roam-icicle-words")
    boxes = rectangles(
        drawn,
        source,
        line_color="line",
        line_width="thick",
    )
    look = {"text_color": "ink", "text_baseline": "middle", "x_offset": 4}
    y_of = {"upper": (14, "12px"), "lower": (31, "11px")}
    for name, (down, size) in y_of.items():
        still(drawn, Text(x="x", y="top", text=name, y_offset=down, text_font_size=size, **look), words)
    rows = [("", "@label"), ("kind", "@kind"), ("", "@what"), ("bytes", "@bytes{0,0}")]
    hover(drawn, [boxes], rows, point_policy="follow_mouse")
    looks, unseen = looks_in(view.kinds, places)
    key_of_looks(drawn, ink, looks, hatched=False, unseen=unseen)
    focus = ColumnDataSource(
        data={"node": [EVERYTHING]},
        name="roam-icicle-focus",
        tags=[json.dumps(alive_data(view), separators=(",", ":"), ensure_ascii=False)],
    )
    described = described or describing(view.tensors)
    groups = ColumnDataSource(data={"group": view.group.astype(np.int32)}, name="roam-icicle-groups")
    found = found or ColumnDataSource(data={"storage": []}, name="roam-found")
    laid = {
        "focus": focus,
        "groups": groups,
        "tensors": described["tensors"],
        "found": found,
        "selection": selection,
        "source": source,
        "words": words,
        "fig": drawn,
    }
    cursor.follow(drawn, ICICLE + _DRAW, laid)
    draw = CustomJS(args={**laid, **cursor.given}, code=CURSOR + ICICLE + _DRAW)
    for what in (focus, groups, selection, found):
        what.js_on_change("data", draw)
    drawn.js_on_change("inner_width", draw)
    source.selected.js_on_change(
        "indices", CustomJS(args={"focus": focus, "selection": selection, "source": source}, code=_ZOOM)
    )
    scrubbed(drawn, cursor)
    return drawn
