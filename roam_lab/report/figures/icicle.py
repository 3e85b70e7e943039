"""The icicle of bytes alive in bokeh; it is laid out in the page (`icicle.js`) at every move of the cursor.

A click on a module or an operator zooms in to it, a click on the top box zooms out again, a click on a storage selects
it. The node zoomed in to is in the source named "roam-icicle-focus", column "node".
"""

# bokeh annotates neither its generated initialisers nor the selection_ and nonselection_ properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

import json
from functools import partial
from importlib.resources import files
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, Text
from bokeh.plotting import figure

from roam_lab.report.figures.cursor import CURSOR, Cursor, scrubbed
from roam_lab.report.figures.icicle_columns import alive_data, icicle_columns, word_columns
from roam_lab.report.figures.parts import WIDTH, empty, hover, key_of_looks, rectangles, still
from roam_lab.report.figures.selection import UNITS, carry, describing, new_selection, selected_in
from roam_lab.report.figures.stage import Stage
from roam_lab.report.figures.theme import Theme, ink_of
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
}, cb_obj === steps)
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
    stage: Stage | None = None,
) -> figure:
    """What is alive under `cursor`. `described`: of `describing`; `found`: what a search found, to be shared;
    `places`: as in `looks_in`."""
    ink, stage = ink_of(theme), stage or Stage()
    selection = selection or new_selection(stage=stage)
    drawn = empty(
        stage,
        "icicle",
        view,
        ink,
        HEIGHT,
        "tap,save",
        x_range=stage.range("roam-icicle.x", 0, 1),
        y_range=stage.range("roam-icicle.y", -LEVELS, 0),
        x_axis_type=None,
        y_axis_type=None,
    )
    carry(stage, drawn, selection)
    columns = icicle_columns(view, WIDTH - MARGIN, selected_in(stage, selection))
    source = stage.source("roam-icicle.data", columns, "roam-icicle-data")
    words = stage.source("roam-icicle.words", word_columns(columns), "roam-icicle-words")
    boxes = rectangles(stage, drawn, "boxes", source, line_color="line", line_width="thick")
    look = {"text_color": "ink", "text_baseline": "middle", "x_offset": 4}
    for name, down, size in (("upper", 14, "12px"), ("lower", 31, "11px")):
        own = {**look, "x": "x", "y": "top", "text": name, "y_offset": down, "text_font_size": size}
        still(stage, drawn, name, partial(Text, **own), words)
    rows = [("", "@label"), ("kind", "@kind"), ("", "@what"), ("bytes", "@bytes{0,0}")]
    hover(stage, drawn, "hover", [boxes], rows, point_policy="follow_mouse")
    looks, unseen = looks_in(view.kinds, places)
    key_of_looks(stage, drawn, ink, looks, hatched=False, unseen=unseen)
    alive = json.dumps(alive_data(view), separators=(",", ":"), ensure_ascii=False)
    focus = stage.source("roam-icicle.focus", {"node": [EVERYTHING]}, "roam-icicle-focus", tags=[alive])
    described = described or describing(view.tensors, stage)
    groups = stage.source("roam-icicle.groups", {"group": view.group.astype(np.int32)}, "roam-icicle-groups")
    found = found or stage.source("roam-found", {"storage": []}, "roam-found")
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
    cursor.follow(stage, drawn, ICICLE + _DRAW, laid)
    heard = [(one, "data") for one in (focus, groups, selection, found)]
    stage.listen("roam-icicle.draw", CURSOR + ICICLE + _DRAW, {**laid, **cursor.given}, *heard, (drawn, "inner_width"))
    zoom = {"focus": focus, "selection": selection, "source": source}
    stage.listen("roam-icicle.zoom", _ZOOM, zoom, (source.selected, "indices"))
    scrubbed(stage, drawn, cursor)
    return drawn
