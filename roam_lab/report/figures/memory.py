"""Memory over time in bokeh: curves as steps, the stack by kind beneath, the bound, each peak named."""

# bokeh annotates neither its generated initialisers nor the selection_ and nonselection_ properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

import numpy as np
from bokeh.models import (
    BoxAnnotation,
    ColumnDataSource,
    CustomJS,
    Line,
    Quad,
    Range1d,
    Scatter,
    Span,
    Step,
    VAreaStep,
)
from bokeh.plotting import figure

from roam_lab.report.figures.selection import carry, new_selection
from roam_lab.report.figures.theme import HATCH_ALPHA, Ink, Theme, beside, empty, hover, ink_of, legend, plain, still
from roam_lab.report.units import bytes_text
from roam_lab.report.views.curves import Curve
from roam_lab.report.views.labels import Font
from roam_lab.report.views.look import RESIDENT, ROLES, kind_looks
from roam_lab.report.views.memory import MemoryView
from roam_lab.report.views.tensors import Tensors

HEIGHT = 420
LEAST_PLOT = (400, 190)
"""Pixels that the plot has at least, where names are placed so that none meets another in a larger one."""
FONT = Font(6.0, 13.0)
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
) -> figure:
    """The curves of `view` over its stack; a click on a legend's entry hides it.

    With `known`, the tensors of the plan that `view` shows, the lifetime of the selected storage is shaded.
    """
    ink = ink_of(theme)
    unit_name, unit = view.unit
    drawn = empty(
        "memory",
        view,
        ink,
        HEIGHT,
        "xpan,xwheel_zoom,box_zoom,reset,save",
        x_axis_label=view.axis.label,
        y_axis_label=f"{view.counted}, {unit_name}",
        x_range=Range1d(0, view.axis.end, bounds=(0, view.axis.end)),
        y_range=Range1d(0, view.end_bytes / unit),
    )
    items = _stack(drawn, view, ink, unit)
    for curve in view.curves:
        items.append(_line(drawn, view, curve, ink, unit))
    if view.bound_bytes is not None:
        height = (view.bound_bytes + view.base_bytes) / unit
        look = ROLES["bound"]
        line = still(
            drawn,
            Line(line_color=ink.of(look), line_width=2, line_dash=list(look.dash)),
            {"x": [0, view.axis.end], "y": [height, height]},
        )
        items.append((f"proven lower bound {bytes_text(view.bound_bytes)}", [line]))
    _peaks(drawn, view, ink, unit)
    legend(drawn, ink, items, columns=2)
    if known is not None:
        selection = selection or new_selection()
        carry(drawn, selection)
        _span(drawn, view, known, ink, selection)
    return drawn


def _stack(drawn: figure, view: MemoryView, ink: Ink, unit: int) -> list[tuple[str, list[object]]]:
    """Areas from the resident bytes up, one renderer a kind; the last value holds to the axis' end."""
    items: list[tuple[str, list[object]]] = []
    if view.base_bytes:
        filled = Quad(
            fill_color=ink.of(RESIDENT),
            fill_alpha=0.25,
            line_alpha=0,
            hatch_pattern=RESIDENT.hatch,
            hatch_color=ink.of(RESIDENT),
            hatch_alpha=HATCH_ALPHA,
        )
        edges = {"left": [0], "right": [view.axis.end], "bottom": [0], "top": [view.base_bytes / unit]}
        band = still(drawn, filled, edges)
        items.append((f"resident {bytes_text(view.base_bytes)}", [band]))
    if not len(view.stack_x):
        return items
    x = np.append(view.stack_x, view.axis.end)
    looks = kind_looks(layer.kind for layer in view.stack)
    below = np.full(len(x), view.base_bytes / unit)
    source = ColumnDataSource(data={"x": x, "y_0": below}, name="roam-stack")
    for number, layer in enumerate(view.stack):
        below = below + np.append(layer.size_bytes, layer.size_bytes[-1]) / unit
        source.add(below, f"y_{number + 1}")
        look = looks[layer.kind]
        area = VAreaStep(
            x="x",
            y1=f"y_{number}",
            y2=f"y_{number + 1}",
            step_mode="after",
            fill_color=ink.of(look),
            fill_alpha=0.38,
            hatch_pattern=look.hatch,
            hatch_color=ink.of(look),
            hatch_alpha=HATCH_ALPHA,
            hatch_scale=9,
        )
        items.append(
            (f"{view.stacked}: {layer.kind}, at most {bytes_text(layer.peak_bytes)}", [still(drawn, area, source)])
        )
    return items


def _line(drawn: figure, view: MemoryView, curve: Curve, ink: Ink, unit: int) -> tuple[str, list[object]]:
    look = ROLES[curve.role]
    values = np.append(curve.size_bytes, curve.size_bytes[-1:]) + view.base_bytes
    x = np.append(curve.x, view.axis.end) if len(curve.x) else curve.x
    source = ColumnDataSource(
        data={"x": x, "y": values / unit, "bytes": values.astype(np.float64)}, name=f"roam-{curve.role}"
    )
    width = 2 if curve.role == "planned" else 1.6
    step = Step(x="x", y="y", mode="after", line_color=ink.of(look), line_width=width, line_dash=list(look.dash))
    line = still(drawn, step, source)
    rows = [("", plain(curve.label)), ("at", "@x{0,0.[0]}"), ("bytes", "@bytes{0,0}"), ("", curve.basis)]
    hover(drawn, [line], rows, mode="mouse", line_policy="prev")
    return f"{curve.label}: {bytes_text(curve.peak_bytes)} ({curve.basis})", [line]


def _peaks(drawn: figure, view: MemoryView, ink: Ink, unit: int) -> None:
    """A triangle at each curve's peak, and its name."""
    shown = view.peaks
    source = ColumnDataSource(
        data={
            "x": [curve.peak_at for curve in shown],
            "y": [(curve.peak_bytes + view.base_bytes) / unit for curve in shown],
            "color": [ink.of(ROLES[curve.role]) for curve in shown],
        },
        name="roam-peaks",
    )
    peak = Scatter(x="x", y="y", marker="inverted_triangle", size=9, fill_color="color", line_color="color")
    still(drawn, peak, source)
    beside(drawn, ink, view.labels(*LEAST_PLOT, FONT), (view.axis.end, 0.0, view.end_bytes / unit), "11px")


def _span(drawn: figure, view: MemoryView, known: Tensors, ink: Ink, selection: ColumnDataSource) -> None:
    """Shade when the selected storage lives."""
    box = BoxAnnotation(
        left=0, right=0, fill_color=ink.axis, fill_alpha=0.22, line_color=ink.text, line_dash="dotted", visible=False
    )
    edges, hair = view.axis.edges, view.axis.end / 800
    lives = {
        "left": np.where(known.start >= 0, edges[known.start], -1.0),
        "right": np.maximum(edges[known.end], edges[known.start] + hair),
    }
    now = int(selection.data["storage"][0])
    if now >= 0 and lives["left"][now] >= 0:
        box.left, box.right, box.visible = float(lives["left"][now]), float(lives["right"][now]), True
    drawn.add_layout(box)
    given = {"selection": selection, "box": box, "lives": ColumnDataSource(data=lives, name="roam-lives")}
    selection.js_on_change("data", CustomJS(args=given, code=_SPAN))
    drawn.add_layout(Span(location=0, dimension="width", line_color=ink.axis, line_alpha=0.6))
