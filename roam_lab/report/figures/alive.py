"""Bars of what is alive at the peak, in bokeh: the captured order's above the planned one's, on one scale."""

# bokeh annotates neither its generated initialisers nor the selection_ and nonselection_ properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

import numpy as np
from bokeh.models import ColumnDataSource, Text
from bokeh.plotting import figure
from numpy.typing import NDArray

from roam_lab.report.figures.parts import empty, filled, hover, key_of_looks, lively, still
from roam_lab.report.figures.selection import carry, connect, new_selection
from roam_lab.report.figures.stage import Stage
from roam_lab.report.figures.theme import Theme, ink_of, plain
from roam_lab.report.units import bytes_text, exact_text, unit_for
from roam_lab.report.views.alive import AliveView
from roam_lab.report.views.look import RESIDENT, kind_looks
from roam_lab.report.views.table import short

ROW_HEIGHT = 21
"""Height of a bar, in pixels."""
HALF = 0.39
"""Half a bar's height, of a row that is 1 high."""
LABELLED = 2.4
"""How many times the longest bar the axis is long: the rest is for the names beside them, in narrow notebooks too."""


def alive_figure(
    view: AliveView,
    *,
    theme: Theme = "auto",
    selection: ColumnDataSource | None = None,
    stage: Stage | None = None,
) -> figure:
    """The bars of `view`, largest first, each with its size and name beside it; a click selects the storage."""
    ink, stage = ink_of(theme), stage or Stage()
    widest = max([bar.bytes for side in view.sides for bar in side.bars] + [1])
    unit_name, unit = unit_for(widest)
    lines = sum(len(side.bars) + 3 for side in view.sides)
    drawn = empty(
        stage,
        "alive",
        view,
        ink,
        lines * ROW_HEIGHT + 100,
        "tap,save",
        x_axis_label=f"bytes, {unit_name} (predicted)",
        x_range=stage.range("roam-alive.x", 0, widest / unit * LABELLED),
        y_range=stage.range("roam-alive.y", -lines + 0.5, 0.8),
        y_axis_type=None,
    )
    looks = kind_looks(bar.kind for side in view.sides for bar in side.bars if bar.storage >= 0)
    columns: dict[str, list[object]] = {
        name: []
        for name in (
            "storage",
            "y",
            "zero",
            "bottom",
            "top",
            "right",
            "fill",
            "hatch",
            "label",
            "bytes",
            "what",
            "kind",
            "source",
        )
    }
    heads: dict[str, list[object]] = {"x": [], "y": [], "text": []}
    moments: dict[str, list[object]] = {"x": [], "y": [], "text": []}
    y = 0.0
    for side in view.sides:
        head = f"{side.label}: {bytes_text(side.peak_bytes)}"
        for lettering, at, text in ((heads, y, head), (moments, y - 1, side.at)):
            lettering["x"].append(0)
            lettering["y"].append(at)
            lettering["text"].append(plain(text))
        y -= 1
        for bar in side.bars:
            y -= 1
            look = looks.get(bar.kind, RESIDENT)
            columns["storage"].append(bar.storage if side.selectable else -1)
            columns["y"].append(y)
            columns["zero"].append(0)
            columns["bottom"].append(y - HALF)
            columns["top"].append(y + HALF)
            columns["right"].append(bar.bytes / unit)
            columns["fill"].append(ink.of(look))
            columns["hatch"].append(look.hatch)
            columns["label"].append(plain(f"{bytes_text(bar.bytes)}  {short(bar.label, 100)}"))
            columns["bytes"].append(exact_text(bar.bytes))
            columns["what"].append(plain(bar.label))
            columns["kind"].append(plain(bar.kind))
            columns["source"].append(plain(bar.source))
        y -= 2
    source = stage.source("roam-alive.data", columns, "roam-alive-data")
    pale = {
        **filled(ink, "fill", "hatch"),
        "fill_alpha": 0.75,
        "selection_line_color": ink.text,
        "selection_line_width": 3,
        "nonselection_fill_alpha": 0.4,
        "nonselection_line_alpha": 0.4,
    }
    words = {"text_color": ink.text, "text_baseline": "middle", "text_font_size": "11px"}
    bold = {**words, "text_font_size": "12px", "text_font_style": "bold"}
    beside = {**words, "x_offset": 6, "nonselection_text_alpha": 0.7, "source": source}
    bars = lively(
        stage, drawn, "bars", lambda: drawn.hbar(y="y", right="right", height=2 * HALF, source=source, **pale)
    )
    lively(stage, drawn, "labels", lambda: drawn.text(x="right", y="y", text="label", **beside))
    still(stage, drawn, "heads", lambda: Text(x="x", y="y", text="text", **bold), heads)
    still(stage, drawn, "moments", lambda: Text(x="x", y="y", text="text", **words), moments)
    key_of_looks(stage, drawn, ink, looks)
    rows = [("", "@what"), ("kind", "@kind"), ("bytes", "@bytes"), ("line", "@source")]
    hover(stage, drawn, "hover", [bars], rows, point_policy="follow_mouse")
    selection = selection or new_selection(stage=stage)
    carry(stage, drawn, selection)
    connect(stage, selection, source, *rows_of(view))
    return drawn


def rows_of(view: AliveView) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each storage the bar that it is part of, on the planned side and on the captured one; -1 for none."""
    most = max((one for side in view.sides for bar in side.bars for one in bar.members), default=-1) + 1
    planned, captured = np.full(most, -1, np.int64), np.full(most, -1, np.int64)
    row = 0
    for side in view.sides:
        for bar in side.bars:
            if side.selectable:
                (planned if side.role == "planned" else captured)[list(bar.members)] = row
            row += 1
    return planned, captured
