"""A cursor at one step, shared by all figures, in the page itself: drag it, move it by keyboard, or play it.

The cursor is a ColumnDataSource named "roam-cursor" whose data is {"step": [step]}, from 0, of the planned order.
Figures that follow it listen to it. They redraw in the page itself: all that is sent to a kernel is the step.
"""

# bokeh annotates neither its generated initialisers nor its properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJS, Slider, Toggle
from bokeh.models import Span as LineAcross
from bokeh.models.dom import Span, Text
from bokeh.models.ui import Pane
from bokeh.plotting import figure

from roam_lab.report.figures.selection import DESCRIBE, coded, lists
from roam_lab.report.figures.theme import Ink, plain
from roam_lab.report.views.axis import Axis
from roam_lab.report.views.cursor import step_text
from roam_lab.report.views.modules import ModuleTree
from roam_lab.report.views.places import PHASES
from roam_lab.report.views.tensors import Tensors

CURSOR = files(__package__).joinpath("cursor.js").read_text("utf-8")
_DRAG = """
// a tool that drags, once chosen, has the drag for itself
if (!fig.toolbar.gestures.pan.active) cursorMove(now, steps, cursorStep(steps.data.left, cb_obj.x))
"""
_SCRUB = """
if (fig.toolbar.gestures.pan.active) return
if (cb_obj.event_name === "panstart") fig._roam_from = [cb_obj.sx, now.data.step[0]]
const [sx, step] = fig._roam_from ?? [cb_obj.sx, now.data.step[0]]
cursorMove(now, steps, step + (cb_obj.sx - sx) / Math.max(fig.inner_width, 1) * steps.data.left.length)
"""
_LINE = """
span.setv({location: steps.data.left[now.data.step[0]] ?? 0}, {sync: false})
"""
STEP_TEXT = """
function stepText(step) {
  const d = steps.data, {modules} = listsOf(step_names)
  if (!d.left.length) return "no step: the graph has no ops"
  const place = [d.op[step], modules[d.module[step]], phases[d.phase[step]]].filter((part) => part)
  return `step ${exact(step + 1)} of ${exact(d.left.length)} · ${place.join(" · ")} · ${bytesText(d.bytes[step])} alive`
}
"""
"""`step_text` in JavaScript; needs DESCRIBE and the arguments of `Cursor.words`."""
_SLIDER = """
const step = now.data.step[0]
slider.setv({value: step + 1}, {sync: false})
text.setv({content: stepText(step)}, {sync: false})
"""
_PLAY = """
clearInterval(cb_obj._roam_plays)
cb_obj.setv({label: cb_obj.active ? "⏸ pause" : "▶ play"}, {sync: false})
if (!cb_obj.active) return
const count = steps.data.left.length
if (now.data.step[0] >= count - 1) cursorMove(now, steps, 0)
cb_obj._roam_plays = setInterval(() => {
  cursorMove(now, steps, now.data.step[0] + Math.max(count / 240, 1))
  if (now.data.step[0] >= count - 1 || !cb_obj.active) { cb_obj.active = false; clearInterval(cb_obj._roam_plays) }
}, 60)
"""


@dataclass(frozen=True)
class Cursor:
    """The step (`now`), and columns over all steps: op, operator, module, source line, phase, bytes alive, where the
    step begins on the axis, and the cell of the folded graph that runs it. `names`: the lists
    modules, sources and operators, that columns hold indices of.
    """

    now: ColumnDataSource
    steps: ColumnDataSource
    names: ColumnDataSource

    @property
    def step(self) -> int:
        """The step under the cursor, from 0."""
        return int(self.now.data["step"][0])

    @property
    def given(self) -> dict[str, Any]:
        """Arguments of JavaScript that reads the cursor."""
        return {"now": self.now, "steps": self.steps}

    @property
    def words(self) -> dict[str, Any]:
        """Arguments of JavaScript that writes about steps."""
        return {"steps": self.steps, "step_names": self.names, "phases": list(PHASES)}

    def follow(self, model: Any, code: str, more: dict[str, Any] | None = None) -> None:
        """Run `code` when the cursor moves, and when the figures get another plan. `model` carries the cursor."""
        moved = CustomJS(args={**self.given, **(more or {})}, code=CURSOR + code)
        self.now.js_on_change("data", moved)
        self.steps.js_on_change("data", moved)
        model.tags = [*model.tags, self.now]


CONTROLS = """
.bk-input, .bk-btn, .noUi-target { background: transparent !important; color: inherit; border: 1px solid #808080; }
.bk-btn.bk-active, .bk-btn:hover { background: #80808033 !important; }
.noUi-target { background: #80808033 !important; box-shadow: none; }
.noUi-handle { background: #808080; border-color: #808080; box-shadow: none; }
.noUi-handle::before, .noUi-handle::after { background: #dddddd; }
"""
"""Bokeh's controls in the colours of the page behind them: its own are white, on a dark page, too."""
LINE = {
    "display": "block",
    "color": "inherit",
    "font": "12.5px/1.4 system-ui, sans-serif",
    "padding": "0 12px",
    "min-height": "1.4em",
}


def new_cursor(known: Tensors, time: Axis, tree: ModuleTree, step: int) -> Cursor:
    """The cursor of one plan, at `step`. `time`: the axis of memory and arena; `tree`: of the folded graph."""
    graph, order = known.graph, known.order
    modules, module = coded([known.places.module[index] for index in order])
    sources, source = coded([graph.ops[index].source or "" for index in order])
    operators, operator = coded([graph.ops[index].target for index in order])
    phase = np.array([known.places.phase[index] for index in order], np.int32)
    data: dict[str, Any] = {
        "op": [plain(graph.ops[index].name) for index in order],
        "operator": operator,
        "module": module,
        "source": source,
        "phase": phase,
        "bytes": known.live_bytes.astype(np.float64),
        "left": time.edges[: len(order)],
        "cell": (tree.leaf_of_op[np.array(order, np.int64)] * 3 + phase).astype(np.int32),
    }
    now = ColumnDataSource(data={"step": [step]}, name="roam-cursor")
    names = lists("roam-step-names", modules=modules, sources=sources, operators=operators)
    return Cursor(now, ColumnDataSource(data=data, name="roam-steps"), names)


def line_at(drawn: figure, cursor: Cursor, ink: Ink, taps: bool = False) -> None:
    """A vertical line at the cursor in a figure over time. A drag moves it; with `taps`, so does a click."""
    left = cursor.steps.data["left"]
    # bokeh draws the overlay separately: the line moves, and the rectangles below are not drawn again
    span = LineAcross(location=float(left[cursor.step]) if len(left) else 0.0, dimension="height", level="overlay")
    span.line_color, span.line_width = ink.text, 1.5
    drawn.add_layout(span)
    cursor.follow(drawn, _LINE, {"span": span})
    drawn.toolbar.active_drag = None
    drag = CustomJS(args={**cursor.given, "fig": drawn}, code=CURSOR + _DRAG)
    for event in ("panstart", "pan", *(("tap",) if taps else ())):
        drawn.js_on_event(event, drag)


def scrubbed(drawn: figure, cursor: Cursor) -> None:
    """In a figure without a time axis, a drag across its width moves the cursor through the whole step."""
    scrub = CustomJS(args={**cursor.given, "fig": drawn}, code=CURSOR + _SCRUB)
    for event in ("panstart", "pan"):
        drawn.js_on_event(event, scrub)


def controls(cursor: Cursor, known: Tensors) -> tuple[Slider, Toggle, Pane]:
    """A slider that moves the cursor by keyboard and for screen readers, a button that plays the step, and a line of
    text on the step under the cursor."""
    count = len(known.order)
    slider = Slider(
        start=1,
        end=max(count, 2),
        value=cursor.step + 1,
        title="step",
        format="0,0",
        disabled=count < 2,
        name="roam-slider",
        sizing_mode="stretch_width",
        min_width=260,
        margin=(4, 14, 4, 12),
        stylesheets=[CONTROLS],
    )
    text = Text(content=plain(step_text(known, cursor.step)))
    cursor.follow(slider, DESCRIBE + STEP_TEXT + _SLIDER, {"slider": slider, "text": text, **cursor.words})
    moved = "cursorMove(now, steps, slider.value - 1)"
    slider.js_on_change("value", CustomJS(args={**cursor.given, "slider": slider}, code=CURSOR + moved))
    play = Toggle(label="▶ play", name="roam-play", width=84, align="center", disabled=count < 2)
    play.stylesheets = [CONTROLS]
    play.js_on_change("active", CustomJS(args=cursor.given, code=CURSOR + _PLAY))
    readout = Pane(elements=[Span(children=[text])], name="roam-readout", styles=LINE)
    return slider, play, readout
