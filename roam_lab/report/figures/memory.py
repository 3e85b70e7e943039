"""Memory over time in bokeh: curves as steps, the stack by kind beneath, the bound, each peak named."""

# bokeh annotates neither its generated initialisers nor the selection_ and nonselection_ properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

import json
from functools import partial

import numpy as np
from bokeh.models import (
    BoxAnnotation,
    ColumnDataSource,
    CustomJSHover,
    Line,
    Quad,
    Scatter,
    Span,
    Step,
    VAreaStep,
)
from bokeh.plotting import figure

from roam_lab.report.figures.cursor import CURSOR, STEP_TEXT, Cursor, line_at
from roam_lab.report.figures.parts import (
    EDGES,
    HATCH_SCALE,
    beside,
    empty,
    hover,
    label_columns,
    layout,
    legend,
    source_of,
    still,
)
from roam_lab.report.figures.phases import draw_phases
from roam_lab.report.figures.selection import DESCRIBE, carry, new_selection, selected_in
from roam_lab.report.figures.stage import Stage
from roam_lab.report.figures.theme import Ink, Theme, ink_of
from roam_lab.report.figures.ticks import tick_steps
from roam_lab.report.units import bytes_text
from roam_lab.report.views.curves import Curve
from roam_lab.report.views.labels import Font
from roam_lab.report.views.look import RESIDENT, ROLES, Look, looks_in
from roam_lab.report.views.memory import MemoryView
from roam_lab.report.views.tensors import Tensors

HEIGHT = 420
LEAST_PLOT = (400, 190)
"""The smallest plot in pixels. Labels are placed for it; in a larger plot they do not overlap either."""
WIDER_PLOTS = (620, 900)
"""In plots of at least this many pixels labels have more room, and are placed for that."""
FONT = Font(6.0, 13.0)
TWO_COLUMNS, LEGEND_LINE = 560, 23
"""Width in pixels from which on the legend has two columns, and the height of a line of it."""
_NARROW = """
const legend = fig.above.find((one) => one.items)
const lines = legend ? legend.items.filter((one) => one.visible).length : 0, two = fig.inner_width >= least
if (!legend || legend.ncols === (two ? 2 : 1)) return
legend.setv({ncols: two ? 2 : 1}, {sync: false})
fig.setv({height: height + (two ? 0 : Math.floor(lines / 2) * line)}, {sync: false})
"""
_WIDER = """
const every = JSON.parse(wider_labels.tags[0])
const widths = Object.keys(every).map(Number).sort((a, b) => a - b)
names.setv({data: every[widths.filter((width) => width <= fig.inner_width).pop() ?? widths[0]]}, {sync: false})
"""
STACK_HATCH = 0.3
"""Opacity of the hatches of the stack: they lie over wide areas, under curves and names."""
_AT_STEP = """
return stepText(cursorStep(steps.data.left, special_vars.x))
"""
_AT_CURVE = """
return bytesText(line.data.bytes[cursorStep(line.data.x, special_vars.x)] ?? 0)
"""
_SPAN = """
const now = selection.data.storage[0]
const {left, right} = lives.data
const alive = now >= 0 && left[now] >= 0
if (alive) { box.left = left[now]; box.right = right[now] }
box.visible = alive
"""


def memory_figure(
    view: MemoryView,
    *,
    theme: Theme = "auto",
    known: Tensors | None = None,
    selection: ColumnDataSource | None = None,
    cursor: Cursor | None = None,
    places: bool = False,
    stage: Stage | None = None,
) -> figure:
    """The curves of `view` over its stack and phases; a click on a legend's entry hides it.

    With `known`, the tensors of the plan that `view` shows, the lifetime of the selected storage is shaded; with
    `cursor`, clicks and drags move it, and a tooltip names the step under the mouse. `places`: as in `looks_in`.
    """
    ink, stage = ink_of(theme), stage or Stage()
    unit_name, unit = view.unit
    drawn = empty(
        stage,
        "memory",
        view,
        ink,
        HEIGHT,
        "xpan,xwheel_zoom,box_zoom,reset,save",
        x_axis_label=view.axis.label,
        y_axis_label=f"{view.counted}, {unit_name}",
        x_range=stage.range("roam-memory.x", 0, view.axis.end, bounded=True),
        y_range=stage.range("roam-memory.y", 0, view.end_bytes / unit),
    )
    tick_steps(stage, drawn, view.axis, cursor.steps if cursor else None)
    draw_phases(stage, drawn, view.phases, view.axis.end, view.end_bytes / unit, ink)
    items, unseen = _stack(stage, drawn, view, ink, unit, places)
    for curve in view.curves:
        items.append(_line(stage, drawn, view, curve, ink, unit))
    if view.bound_bytes is not None or places:
        text, line = _bound(stage, drawn, view, ink, unit)
        items.append((text, [line]))
        unseen |= {text} if view.bound_bytes is None else set()
    _peaks(stage, drawn, view, ink, unit)
    legend(stage, drawn, ink, items, columns=2, unseen=unseen)
    narrow = {"fig": drawn, "height": HEIGHT, "line": LEGEND_LINE, "least": TWO_COLUMNS}
    stage.listen("roam-memory.narrow", _NARROW, narrow, (drawn, "inner_width"))
    if known is not None:
        selection = selection or new_selection(stage=stage)
        carry(stage, drawn, selection)
        _span(stage, drawn, view, known, ink, selection)
    if cursor is not None:
        line_at(stage, drawn, cursor, ink, taps=True)
        _hover(stage, drawn, view, cursor, unit)
    return drawn


def _hover(stage: Stage, drawn: figure, view: MemoryView, cursor: Cursor, unit: int) -> None:
    """Over the whole plot, a line of text for the step and one for each curve there."""
    whole = {"left": [0.0], "right": [view.axis.end], "bottom": [0.0], "top": [view.end_bytes / unit]}
    source = stage.source("roam-memory.plot", whole, "roam-memory-plot")
    edges = {edge: edge for edge in EDGES}
    everywhere = still(stage, drawn, "everywhere", lambda: Quad(**edges, fill_alpha=0, line_alpha=0), source)

    def at_step() -> CustomJSHover:
        return CustomJSHover(args=cursor.words, code=CURSOR + DESCRIBE + STEP_TEXT + _AT_STEP)

    formatters: dict[str, object] = {"@left": stage.once("roam-memory.at-step", at_step)}
    rows = [("", "@left{custom}")]
    for curve, column in zip(view.curves[:3], ("right", "bottom", "top"), strict=False):

        def at_curve(role: str = curve.role) -> CustomJSHover:
            return CustomJSHover(args={"line": source_of(drawn, f"roam-{role}")}, code=CURSOR + DESCRIBE + _AT_CURVE)

        formatters[f"@{column}"] = stage.once(f"roam-memory.at-{curve.role}", at_curve)
        rows.append((curve.what, f"@{column}{{custom}}"))
    tool = hover(stage, drawn, "hover", [everywhere], rows, formatters, point_policy="follow_mouse")
    tool.name = "roam-memory-hover"


def _stack(
    stage: Stage, drawn: figure, view: MemoryView, ink: Ink, unit: int, places: bool
) -> tuple[list[tuple[str, list[object]]], set[str]]:
    """Areas above the resident bytes, one renderer for each kind; the last value holds up to the end of the axis.
    What the legend says of them, and what it does not show of that."""
    items: list[tuple[str, list[object]]] = []
    if view.base_bytes:

        def filled() -> Quad:
            return Quad(
                fill_color=ink.of(RESIDENT),
                fill_alpha=0.25,
                line_alpha=0,
                hatch_pattern=RESIDENT.hatch,
                hatch_color=ink.text,
                hatch_alpha=STACK_HATCH,
            )

        edges = {"left": [0], "right": [view.axis.end], "bottom": [0], "top": [view.base_bytes / unit]}
        band = still(stage, drawn, "resident", filled, edges)
        items.append((f"resident {bytes_text(view.base_bytes)}", [band]))
    if not len(view.stack_x):
        return items, set()
    layers = {layer.kind: layer for layer in view.stack}
    looks, unseen = looks_in(layers, places)
    below = np.full(len(view.stack_x) + 1, view.base_bytes / unit)
    columns = {"x": np.append(view.stack_x, view.axis.end), "y_0": below}
    texts: list[str] = []
    hidden = set()
    for kind in looks:
        texts.append(f"{view.stacked}: {kind}")
        if kind in unseen:
            hidden.add(texts[-1])
        else:
            layer = layers[kind]
            below = below + np.append(layer.size_bytes, layer.size_bytes[-1]) / unit
            texts[-1] += f", at most {bytes_text(layer.peak_bytes)}"
        columns[f"y_{len(texts)}"] = below
    source = stage.source("roam-memory.stack", columns, "roam-stack")
    for number, (look, text) in enumerate(zip(looks.values(), texts, strict=True)):
        key = f"stack.{number}.{look.light}.{look.hatch}"
        area = still(stage, drawn, key, partial(_area, number, look, ink), source)
        items.append((text, [area]))
    return items, hidden


def _area(number: int, look: Look, ink: Ink) -> VAreaStep:
    return VAreaStep(
        x="x",
        y1=f"y_{number}",
        y2=f"y_{number + 1}",
        step_mode="after",
        fill_color=ink.of(look),
        fill_alpha=0.38,
        hatch_pattern=look.hatch,
        hatch_color=ink.text,
        hatch_alpha=STACK_HATCH,
        hatch_scale=HATCH_SCALE,
    )


def _line(stage: Stage, drawn: figure, view: MemoryView, curve: Curve, ink: Ink, unit: int) -> tuple[str, list[object]]:
    look = ROLES[curve.role]
    values = np.append(curve.size_bytes, curve.size_bytes[-1:]) + view.base_bytes
    x = np.append(curve.x, view.axis.end) if len(curve.x) else curve.x
    data = {"x": x, "y": values / unit, "bytes": values.astype(np.float64)}
    source = stage.source(f"roam-memory.{curve.role}.data", data, f"roam-{curve.role}")
    width = 2 if curve.role == "planned" else 1.6
    look_of = {"line_color": ink.of(look), "line_width": width, "line_dash": list(look.dash)}
    line = still(stage, drawn, curve.role, lambda: Step(x="x", y="y", mode="after", **look_of), source)
    return f"{curve.label}: {bytes_text(curve.peak_bytes)} ({curve.basis})", [line]


def _bound(stage: Stage, drawn: figure, view: MemoryView, ink: Ink, unit: int) -> tuple[str, object]:
    """The proven bound, a line without points where there is none, and what the legend says of it."""
    look, size, ends = ROLES["bound"], view.bound_bytes, [0, view.axis.end]
    height = None if size is None else (size + view.base_bytes) / unit
    line = still(
        stage,
        drawn,
        "bound",
        lambda: Line(line_color=ink.of(look), line_width=2, line_dash=list(look.dash)),
        {"x": [], "y": []} if height is None else {"x": ends, "y": [height, height]},
    )
    return "proven lower bound" + ("" if size is None else f" {bytes_text(size)}"), line


def _peaks(stage: Stage, drawn: figure, view: MemoryView, ink: Ink, unit: int) -> None:
    """A triangle at each curve's peak, and its name."""
    shown = view.peaks
    data = {
        "x": [curve.peak_at for curve in shown],
        "y": [(curve.peak_bytes + view.base_bytes) / unit for curve in shown],
        "color": [ink.of(ROLES[curve.role]) for curve in shown],
    }
    source = stage.source("roam-memory.peaks.data", data, "roam-peaks")
    look = {"marker": "inverted_triangle", "size": 9, "fill_color": "color", "line_color": "color"}
    still(stage, drawn, "peaks", lambda: Scatter(x="x", y="y", **look), source)
    edges = (view.axis.end, 0.0, view.end_bytes / unit)
    least = view.labels(*LEAST_PLOT, FONT)
    names = beside(stage, drawn, ink, least, edges, "11px")
    wider = {str(width): label_columns(view.labels(width, LEAST_PLOT[1], FONT), edges) for width in WIDER_PLOTS}
    every = {str(LEAST_PLOT[0]): label_columns(least, edges), **wider}
    told = [json.dumps(every, ensure_ascii=False)]
    wider_labels = stage.source("roam-memory.wider", {}, "roam-wider-labels", tags=told)
    args = {"fig": drawn, "names": names, "wider_labels": wider_labels}
    stage.listen("roam-memory.choose", _WIDER, args, (drawn, "inner_width"), (wider_labels, "tags"))


def _span(stage: Stage, drawn: figure, view: MemoryView, known: Tensors, ink: Ink, selection: ColumnDataSource) -> None:
    """Shade the lifetime of the selected storage."""
    edges, hair = view.axis.edges, view.axis.end / 800
    lives = {
        "left": np.where(known.start >= 0, edges[known.start], -1.0),
        "right": np.maximum(edges[known.end], edges[known.start] + hair),
    }
    now = selected_in(stage, selection)
    seen = now >= 0 and bool(lives["left"][now] >= 0)
    left, right = (float(lives[edge][now]) if seen else 0 for edge in ("left", "right"))
    look = {"fill_color": ink.axis, "fill_alpha": 0.22, "line_color": ink.text, "line_dash": "dotted"}
    box = layout(stage, drawn, "lifetime", lambda: BoxAnnotation(**look), left=left, right=right, visible=seen)
    source = stage.source("roam-memory.lives", lives, "roam-lives")
    stage.listen("roam-memory.span", _SPAN, {"selection": selection, "box": box, "lives": source}, (selection, "data"))
    layout(stage, drawn, "ground", lambda: Span(location=0, dimension="width", line_color=ink.axis, line_alpha=0.6))
