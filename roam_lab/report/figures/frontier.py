"""Memory against extra time in bokeh: the frontier as a staircase above its bound; eager, checkpointing and the shown
plan as points; GPUs as horizontal lines."""

# bokeh annotates neither its generated initialisers nor the selection_ and nonselection_ properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from bokeh.models import ColumnDataSource, Line, Segment, Span, Step
from bokeh.plotting import figure

from roam_lab.report.figures.parts import beside, empty, hover, layout, lively, still, tap_only
from roam_lab.report.figures.stage import Stage
from roam_lab.report.figures.theme import Theme, ink_of, plain
from roam_lab.report.units import bytes_text, exact_text
from roam_lab.report.views.frontier import FrontierView
from roam_lab.report.views.labels import Font
from roam_lab.report.views.look import MARKERS, ROLES

HEIGHT = 360
LEAST_PLOT = (420, 270)
"""The smallest plot in pixels. Labels are placed for it; in a larger plot they do not overlap either."""
FONT = Font(6.6, 14.0)
SOURCE = "roam-frontier-data"


def frontier_figure(view: FrontierView, *, theme: Theme = "auto", stage: Stage | None = None) -> figure:
    """The marks of `view`; a click on one of the frontier's points picks it (see `on_pick`)."""
    ink, stage = ink_of(theme), stage or Stage()
    unit_name, unit = view.unit
    drawn = empty(
        stage,
        "frontier",
        view,
        ink,
        HEIGHT,
        "tap,save",
        x_axis_label=plain(view.x_label),
        y_axis_label=f"resident + arena, {unit_name} (predicted)",
        x_range=stage.range("roam-frontier.x", -0.02 * view.end_percent, view.end_percent),
        y_range=stage.range("roam-frontier.y", 0, view.end_bytes / unit),
    )
    front = view.front
    steps = {"x": [mark.percent for mark in front], "y": [mark.whole_bytes / unit for mark in front]}
    planned = {"mode": "after", "line_color": ink.of(ROLES["planned"]), "line_width": 2}
    still(stage, drawn, "front", lambda: Step(x="x", y="y", **planned), steps)
    sizes = [view.resident_bytes, *(gpu.bytes for gpu in view.lines)]
    for number, size in enumerate(sizes):
        across = {"dimension": "width", "line_color": ink.axis, "line_dash": [8, 4] if number else "dotted"}
        layout(stage, drawn, f"line.{number}", partial(Span, **across), location=size / unit)
    bound = {"x": [percent for percent, _ in view.bound_steps], "y": [size / unit for _, size in view.bound_steps]}
    proven = {"line_color": ink.of(ROLES["bound"]), "line_width": 2, "line_dash": list(ROLES["bound"].dash)}
    still(stage, drawn, "bound", lambda: Line(x="x", y="y", **proven), bound)
    data = {
        "x": [mark.percent for mark in view.marks],
        "y": [mark.whole_bytes / unit for mark in view.marks],
        "role": [mark.role for mark in view.marks],
        "name": [plain(mark.name) for mark in view.marks],
        "size": [f"{bytes_text(mark.whole_bytes)} ({exact_text(mark.whole_bytes)})" for mark in view.marks],
        "note": [plain(mark.note) for mark in view.marks],
        "color": [ink.text if mark.role == "chosen" else ink.of(ROLES[mark.role]) for mark in view.marks],
        "fill": [0.0 if mark.role == "chosen" else 0.9 for mark in view.marks],
        "marker": [MARKERS[mark.role] for mark in view.marks],
        "wide": [20 if mark.role == "chosen" else 10 for mark in view.marks],
    }
    source = stage.source("roam-frontier.data", data, SOURCE)
    stage.set(source.selected, indices=[])
    mark = {
        "marker": "marker",
        "size": "wide",
        "line_color": "color",
        "line_width": 2,
        "fill_color": "color",
        "fill_alpha": "fill",
        "nonselection_line_alpha": 1.0,
        "nonselection_fill_alpha": "fill",
    }
    points = lively(stage, drawn, "points", lambda: drawn.scatter("x", "y", source=source, **mark))
    tap_only(drawn, points)
    labels = view.labels(*LEAST_PLOT, FONT)
    high = view.end_bytes / unit
    beside(stage, drawn, ink, labels, (view.end_percent, 0.0, high), "12px")
    away = [(anchor, label) for anchor, label in zip(view.anchors, labels, strict=True) if label.moved]
    lead = {
        "x": [anchor.percent for anchor, _ in away],
        "y": [anchor.bytes / unit for anchor, _ in away],
        "to": [(label.y + FONT.line / 2 / LEAST_PLOT[1]) * high for _, label in away],
    }
    ends = {"x0": "x", "y0": "y", "x1": "x", "y1": "to", "line_color": ink.axis, "line_width": 0.8}
    still(stage, drawn, "lead", lambda: Segment(**ends), lead)
    rows = [("", "@name"), ("extra time", "@x{0.0} %"), ("resident + arena", "@size"), ("", "@note")]
    hover(stage, drawn, "hover", [points], rows)
    return drawn


def on_pick(model: Any, listener: Callable[[float], None]) -> None:
    """Call `listener` with the extra time (a fraction) of each point of the frontier that is clicked in `model`, a
    figure or a layout of them."""
    found = [one for one in model.references() if isinstance(one, ColumnDataSource) and one.name == SOURCE]
    if not found:
        return
    source = found[0]

    def picked(name: str, old: list[int], new: list[int]) -> None:
        row = new[0] if new else -1
        if 0 <= row < len(source.data["x"]) and source.data["role"][row] == "planned":
            listener(float(source.data["x"][row]) / 100)

    source.selected.on_change("indices", picked)
