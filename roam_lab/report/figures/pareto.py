"""Memory against time in bokeh: a point for each plan, the non-dominated ones joined by a line."""

# bokeh annotates neither its generated initialisers nor the selection_ and nonselection_ properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

from bokeh.models import Segment, Step
from bokeh.plotting import figure

from roam_lab.report.figures.parts import beside, empty, hover, lively, still
from roam_lab.report.figures.stage import Stage
from roam_lab.report.figures.theme import Theme, ink_of, plain
from roam_lab.report.units import bytes_text, exact_text
from roam_lab.report.views.labels import Font, room_for
from roam_lab.report.views.look import ROLES
from roam_lab.report.views.pareto import ParetoView

HEIGHT = 380
"""Least height in pixels; the names of many plans need more."""
AROUND = 80
"""Pixels of the height that title, axis and margins take."""
LEAST_PLOT_WIDTH = 420
"""Width in pixels from which on no names overlap."""
FONT = Font(6.6, 14.0)


def pareto_figure(view: ParetoView, *, theme: Theme = "auto") -> figure:
    """The points of `view` with their names: filled if no other plan dominates them, else hollow."""
    ink, stage = ink_of(theme), Stage()
    unit_name, unit = view.unit
    low, high = (edge / unit for edge in view.edges_bytes)
    plot_height = max(HEIGHT - AROUND, room_for(len(view.points), FONT))
    drawn = empty(
        stage,
        "pareto",
        view,
        ink,
        round(plot_height) + AROUND,
        "pan,wheel_zoom,reset,save",
        x_axis_label=f"{view.time}, s ({view.measured})",
        y_axis_label=f"arena, {unit_name} (predicted)",
        x_range=stage.range("roam-pareto.x", 0, view.end_seconds),
        y_range=stage.range("roam-pareto.y", low, high),
    )
    best, beaten = ROLES["planned"], ROLES["captured"]
    front = view.front
    steps = {
        "x": [point.seconds for point in front],
        "y": [point.arena_bytes / unit for point in front],
    }
    line = {"mode": "after", "line_color": ink.of(best), "line_width": 2}
    still(stage, drawn, "front", lambda: Step(x="x", y="y", **line), steps)
    data = {
        "x": [point.seconds for point in view.points],
        "y": [point.arena_bytes / unit for point in view.points],
        "name": [plain(point.name) for point in view.points],
        "size": [f"{bytes_text(point.arena_bytes)} ({exact_text(point.arena_bytes)})" for point in view.points],
        "strategy": [plain(point.strategy) for point in view.points],
        "color": [ink.of(best if point.best else beaten) for point in view.points],
        "fill": [1.0 if point.best else 0.0 for point in view.points],
        "marker": ["circle" if point.best else "diamond" for point in view.points],
    }
    source = stage.source("roam-pareto.data", data, "roam-pareto-data")
    mark = {"marker": "marker", "size": 12, "line_color": "color", "fill_color": "color", "fill_alpha": "fill"}
    points = lively(stage, drawn, "points", lambda: drawn.scatter("x", "y", source=source, **mark))
    labels = view.labels(LEAST_PLOT_WIDTH, plot_height, FONT)
    edges = (view.end_seconds, low, high)
    beside(stage, drawn, ink, labels, edges, "12px")
    away = [(point, label) for point, label in zip(view.points, labels, strict=True) if label.moved]
    middle = FONT.line / 2 / plot_height
    lead = {
        "x": [point.seconds for point, _ in away],
        "y": [point.arena_bytes / unit for point, _ in away],
        "to": [low + (label.y + middle) * (high - low) for _, label in away],
    }
    ends = {"x0": "x", "y0": "y", "x1": "x", "y1": "to", "line_color": ink.axis, "line_width": 0.8}
    still(stage, drawn, "lead", lambda: Segment(**ends), lead)
    rows = [("", "@name"), ("arena", "@size"), (f"{view.time}, s", "@x{0.000}"), ("strategies", "@strategy")]
    hover(stage, drawn, "hover", [points], rows)
    return drawn
