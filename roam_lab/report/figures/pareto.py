"""Memory against time in bokeh: a point a plan, those that no other beats joined by a line."""

# bokeh annotates neither its generated initialisers nor the selection_ and nonselection_ properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

from bokeh.models import ColumnDataSource, LabelSet, Range1d
from bokeh.plotting import figure

from roam_lab.report.figures.theme import Theme, empty, hover, ink_of, plain
from roam_lab.report.units import bytes_text, exact_text
from roam_lab.report.views.look import ROLES
from roam_lab.report.views.pareto import ParetoView
from roam_lab.report.views.table import short

HEIGHT = 380


def pareto_figure(view: ParetoView, *, theme: Theme = "auto") -> figure:
    """The points of `view` with their names: full ones are not beaten in both, hollow ones are."""
    ink = ink_of(theme)
    unit_name, unit = view.unit
    sizes = [point.arena_bytes / unit for point in view.points]
    seconds = [point.seconds for point in view.points]
    margin = 0.12 * (max(sizes) - min(sizes)) or 0.1 * max(sizes) or 1.0
    drawn = empty(
        "pareto",
        view,
        ink,
        HEIGHT,
        "pan,wheel_zoom,reset,save",
        x_axis_label=f"{view.time}, s ({view.measured})",
        y_axis_label=f"arena, {unit_name} (predicted)",
        x_range=Range1d(0, (max(seconds) or 1.0) * 1.3),
        y_range=Range1d(max(min(sizes) - margin, 0), max(sizes) + margin),
    )
    best, beaten = ROLES["planned"], ROLES["captured"]
    front = view.front
    drawn.step(
        [point.seconds for point in front],
        [point.arena_bytes / unit for point in front],
        mode="after",
        color=ink.of(best),
        line_width=2,
    )
    source = ColumnDataSource(
        data={
            "x": seconds,
            "y": sizes,
            "name": [plain(point.name) for point in view.points],
            "text": [plain(short(point.name, 32)) for point in view.points],
            "size": [f"{bytes_text(point.arena_bytes)} ({exact_text(point.arena_bytes)})" for point in view.points],
            "strategy": [plain(point.strategy) for point in view.points],
            "color": [ink.of(best if point.best else beaten) for point in view.points],
            "fill": [1.0 if point.best else 0.0 for point in view.points],
            "marker": ["circle" if point.best else "diamond" for point in view.points],
        },
        name="roam-pareto-data",
    )
    points = drawn.scatter(
        "x", "y", source=source, marker="marker", size=12, line_color="color", fill_color="color", fill_alpha="fill"
    )
    drawn.add_layout(
        LabelSet(
            x="x",
            y="y",
            text="text",
            x_offset=9,
            y_offset=4,
            source=source,
            text_color=ink.text,
            text_font_size="12px",
        )
    )
    rows = [("", "@name"), ("arena", "@size"), (f"{view.time}, s", "@x{0.000}"), ("strategies", "@strategy")]
    hover(drawn, [points], rows)
    return drawn
