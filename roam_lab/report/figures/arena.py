"""The arena map in bokeh: all rectangles in one glyph renderer on a canvas, so that ten thousand are drawn fast."""

# bokeh annotates neither its generated initialisers nor the selection_ and nonselection_ properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJSHover, Span
from bokeh.plotting import figure

from roam_lab.report.figures.cursor import Cursor, line_at
from roam_lab.report.figures.parts import EDGES, empty, hatch_over, hover, key_of_looks, layout, rectangles, tap_only
from roam_lab.report.figures.selection import DESCRIBE, carry, connect, describing, new_selection
from roam_lab.report.figures.stage import Stage
from roam_lab.report.figures.theme import Theme, ink_of
from roam_lab.report.figures.ticks import tick_steps
from roam_lab.report.views.arena import ArenaView
from roam_lab.report.views.look import looks_in

HEIGHT = 460
HATCHED = 1 / 60
"""Rectangles are hatched from this height on, a fraction of the arena's: in lower ones no hatch can be recognized."""
_HOVER = """
const row = special_vars.index
const s = source.data.storage[row]
return s < 0 ? source.data.count[row] + " storages of less than a pixel, drawn together" : describe(s)
"""


def arena_figure(
    view: ArenaView,
    *,
    theme: Theme = "auto",
    selection: ColumnDataSource | None = None,
    described: dict[str, Any] | None = None,
    x_range: Any = None,
    cursor: Cursor | None = None,
    places: bool = False,
    stage: Stage | None = None,
) -> figure:
    """Every storage of `view` as a rectangle; a click selects it. `described`: of `describing`, to be shared;
    `cursor`: a drag moves it; `places`: as in `looks_in`."""
    ink, stage = ink_of(theme), stage or Stage()
    unit_name, unit = view.unit
    drawn = empty(
        stage,
        "arena",
        view,
        ink,
        HEIGHT,
        "xpan,box_zoom,wheel_zoom,tap,reset,save",
        x_axis_label=view.axis.label,
        y_axis_label=f"address in the arena, {unit_name}",
        x_range=x_range or stage.range("roam-arena.x", 0, view.axis.end, bounded=True),
        y_range=stage.range("roam-arena.y", 0, max(view.arena_bytes, 1) / unit * 1.03),
    )
    tick_steps(stage, drawn, view.axis, cursor.steps if cursor else None)
    looks, unseen = looks_in(view.kind, places)
    high = np.flatnonzero(view.top - view.bottom >= HATCHED * max(view.arena_bytes, 1)).tolist()
    data: dict[str, Any] = {
        "left": view.left,
        "right": view.right,
        "bottom": view.bottom / unit,
        "top": view.top / unit,
        "storage": view.storage.astype(np.int32),
        "count": view.count.astype(np.int32),
        "fill": [ink.of(looks[kind]) for kind in view.kind],
    }
    source = stage.source("roam-arena.data", data, "roam-arena-data")
    boxes = rectangles(
        stage,
        drawn,
        "boxes",
        source,
        line_color="fill",
        fill_alpha=0.6,
        line_width=0.5,
        selection_fill_alpha=1.0,
        selection_line_color=ink.text,
        selection_line_width=2,
        nonselection_fill_alpha=0.22,
        nonselection_line_alpha=0.4,
    )
    edges = {edge: [data[edge][row] for row in high] for edge in EDGES}
    hatch_over(stage, drawn, ink, looks, [view.kind[row] for row in high], edges)
    tap_only(drawn, boxes)
    for name, size, dash in (("end", view.arena_bytes, "dashed"), ("external", view.external_bytes, "dotted")):
        if size is not None:
            line = {"dimension": "width", "line_color": ink.axis, "line_dash": dash}
            layout(stage, drawn, name, partial(Span, **line), location=size / unit)
    key_of_looks(stage, drawn, ink, looks, unseen=unseen)
    described = described or describing(view.tensors, stage)

    def told() -> CustomJSHover:
        return CustomJSHover(args={"source": source, **described}, code=DESCRIBE + _HOVER)

    formatters = {"@storage": stage.once("roam-arena.told", told)}
    hover(stage, drawn, "hover", [boxes], [("", "@storage{custom}")], formatters, point_policy="follow_mouse")
    selection = selection or new_selection(stage=stage)
    carry(stage, drawn, selection)
    connect(stage, selection, source, view.row_of)
    if cursor is not None:
        line_at(stage, drawn, cursor, ink)
    return drawn
