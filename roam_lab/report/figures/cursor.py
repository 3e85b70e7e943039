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

from roam_lab.report.figures.parts import layout
from roam_lab.report.figures.selection import DESCRIBE, coded, lists
from roam_lab.report.figures.stage import Stage
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

    `step`: the one that it was made at, from 0; `left` and `cell`: of that step, None where there is none.
    """

    now: ColumnDataSource
    steps: ColumnDataSource
    names: ColumnDataSource
    step: int
    left: float | None
    cell: int | None

    @property
    def given(self) -> dict[str, Any]:
        """Arguments of JavaScript that reads the cursor."""
        return {"now": self.now, "steps": self.steps}

    @property
    def words(self) -> dict[str, Any]:
        """Arguments of JavaScript that writes about steps."""
        return {"steps": self.steps, "step_names": self.names, "phases": list(PHASES)}

    def follow(self, stage: Stage, model: Any, code: str, more: dict[str, Any]) -> None:
        """Run `code` when the cursor moves, and when the figures get another plan. `model` carries the cursor."""
        key = f"{model.name}.follow"
        stage.listen(key, CURSOR + code, {**self.given, **more}, (self.now, "data"), (self.steps, "data"))
        stage.add(model, "tags", self.now)


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


def new_cursor(known: Tensors, time: Axis, tree: ModuleTree, step: int, stage: Stage | None = None) -> Cursor:
    """The cursor of one plan, at `step`. `time`: the axis of memory and arena; `tree`: of the folded graph."""
    stage = stage or Stage()
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
    now = stage.source("roam-cursor", {"step": [step]}, "roam-cursor")
    names = lists(stage, "roam-step-names", modules=modules, sources=sources, operators=operators)
    left, cell = (float(data["left"][step]), int(data["cell"][step])) if len(order) else (None, None)
    return Cursor(now, stage.source("roam-steps", data, "roam-steps"), names, step, left, cell)


def line_at(stage: Stage, drawn: figure, cursor: Cursor, ink: Ink, taps: bool = False) -> None:
    """A vertical line at the cursor in a figure over time. A drag moves it; with `taps`, so does a click."""
    # bokeh draws the overlay separately: the line moves, and the rectangles below are not drawn again
    look = {"dimension": "height", "level": "overlay", "line_color": ink.text, "line_width": 1.5}
    span = layout(stage, drawn, "cursor", lambda: LineAcross(**look), location=cursor.left or 0.0)
    cursor.follow(stage, drawn, _LINE, {"span": span})
    _dragged(stage, drawn, cursor, _DRAG, "panstart", "pan", *(("tap",) if taps else ()))
    stage.set(drawn.toolbar, active_drag=None)


def scrubbed(stage: Stage, drawn: figure, cursor: Cursor) -> None:
    """In a figure without a time axis, a drag across its width moves the cursor through the whole step."""
    _dragged(stage, drawn, cursor, _SCRUB, "panstart", "pan")


def _dragged(stage: Stage, drawn: figure, cursor: Cursor, code: str, *events: str) -> None:
    def make() -> CustomJS:
        drag = CustomJS(args={**cursor.given, "fig": drawn}, code=CURSOR + code)
        for event in events:
            drawn.js_on_event(event, drag)
        return drag

    stage.once(f"{drawn.name}.drag", make)


def controls(stage: Stage, cursor: Cursor, known: Tensors) -> tuple[Slider, Toggle, Pane]:
    """A slider that moves the cursor by keyboard and for screen readers, a button that plays the step, and a line of
    text on the step under the cursor."""
    count = len(known.order)
    look = {"title": "step", "format": "0,0", "sizing_mode": "stretch_width", "min_width": 260}
    look |= {"margin": (4, 14, 4, 12), "stylesheets": [CONTROLS]}
    slider = stage.once("roam-slider", lambda: Slider(start=1, end=2, value=1, name="roam-slider", **look))
    stage.set(slider, end=max(count, 2), value=cursor.step + 1, disabled=count < 2)
    text = stage.set(stage.once("roam-readout.text", Text), content=plain(step_text(known, cursor.step)))
    given = {"slider": slider, "text": text, **cursor.words}
    cursor.follow(stage, slider, DESCRIBE + STEP_TEXT + _SLIDER, given)
    moved = "cursorMove(now, steps, slider.value - 1)"
    stage.listen("roam-slider.moved", CURSOR + moved, {**cursor.given, "slider": slider}, (slider, "value"))
    button = {"name": "roam-play", "width": 84, "align": "center", "stylesheets": [CONTROLS]}
    play = stage.once("roam-play", lambda: Toggle(**button))
    stage.set(play, label="▶ play", active=False, disabled=count < 2)
    stage.listen("roam-play.pressed", CURSOR + _PLAY, cursor.given, (play, "active"))
    line = stage.once("roam-readout", lambda: Pane(elements=[Span(children=[text])], name="roam-readout", styles=LINE))
    return slider, play, line
