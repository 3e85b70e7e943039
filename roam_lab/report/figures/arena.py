"""The arena map in bokeh: all rectangles in one glyph renderer on a canvas, so that ten thousand are drawn fast."""

# bokeh annotates neither its generated initialisers nor the selection_ and nonselection_ properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJSHover, Range1d, Span
from bokeh.plotting import figure

from roam_lab.report.figures.cursor import Cursor, line_at
from roam_lab.report.figures.selection import DESCRIBE, carry, connect, describing, new_selection
from roam_lab.report.figures.theme import Theme, empty, hatch_over, hover, ink_of, key_of_looks, rectangles, tap_only
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
) -> figure:
    """Every storage of `view` as a rectangle; a click selects it. `described`: of `describing`, to be shared;
    `cursor`: a drag moves it; `places`: as in `looks_in`."""
    ink = ink_of(theme)
    unit_name, unit = view.unit
    drawn = empty(
        "arena",
        view,
        ink,
        HEIGHT,
        "xpan,box_zoom,wheel_zoom,tap,reset,save",
        x_axis_label=view.axis.label,
        y_axis_label=f"address in the arena, {unit_name}",
        x_range=x_range or Range1d(0, view.axis.end, bounds=(0, view.axis.end)),
        y_range=Range1d(0, max(view.arena_bytes, 1) / unit * 1.03),
    )
    tick_steps(drawn, view.axis, cursor.steps if cursor else None)
    looks, unseen = looks_in(view.kind, places)
    high = np.flatnonzero(view.top - view.bottom >= HATCHED * max(view.arena_bytes, 1)).tolist()
    source = ColumnDataSource(
        data={
            "left": view.left,
            "right": view.right,
            "bottom": view.bottom / unit,
            "top": view.top / unit,
            "storage": view.storage.astype(np.int32),
            "count": view.count.astype(np.int32),
            "fill": [ink.of(looks[kind]) for kind in view.kind],
        },
        name="roam-arena-data",
    )
    boxes = rectangles(
        drawn,
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
    edges = {edge: [source.data[edge][row] for row in high] for edge in ("left", "right", "bottom", "top")}
    hatch_over(drawn, ink, looks, [view.kind[row] for row in high], edges)
    tap_only(drawn, boxes)
    drawn.add_layout(Span(location=view.arena_bytes / unit, dimension="width", line_color=ink.axis, line_dash="dashed"))
    if view.external_bytes is not None:
        drawn.add_layout(
            Span(location=view.external_bytes / unit, dimension="width", line_color=ink.axis, line_dash="dotted")
        )
    key_of_looks(drawn, ink, looks, unseen=unseen)
    described = described or describing(view.tensors)
    text = CustomJSHover(args={"source": source, **described}, code=DESCRIBE + _HOVER)
    hover(drawn, [boxes], [("", "@storage{custom}")], formatters={"@storage": text}, point_policy="follow_mouse")
    selection = selection or new_selection()
    carry(drawn, selection)
    connect(selection, source, view.row_of)
    if cursor is not None:
        line_at(drawn, cursor, ink)
    return drawn
