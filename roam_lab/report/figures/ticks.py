"""Ticks of an axis of steps: numbered as in texts, also where some steps have width 0."""

# mypy: disable-error-code="call-arg"
from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJSTicker, CustomJSTickFormatter
from bokeh.plotting import figure

from roam_lab.report.figures.stage import Stage
from roam_lab.report.views.axis import CLOSEST, Axis

TICKS = """
const left = edges.data.left, {start, end} = cb_data
const first = left.findLastIndex((x) => x <= start), last = left.findLastIndex((x) => x <= end)
const raw = Math.max(last - first, 1) / 8
const power = Math.pow(10, Math.floor(Math.log10(raw)))
const apart = Math.max([1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999) * power, 1)
const shown = new Map()
let before = -Infinity
for (let step = Math.ceil(Math.max(first, 1) / apart) * apart; step <= last + 1; step += apart) {
  const x = left[step - 1]
  if (!(x >= start && x <= end && x - before >= closest * (end - start))) continue
  shown.set(x, step)
  before = x
}
edges._roam_ticks = shown
return [...shown.keys()]
"""
TICK_TEXT = """
const step = edges._roam_ticks?.get(tick)
return step === undefined ? "" : String(step).replace(/\\B(?=(\\d{3})+(?!\\d))/g, ",")
"""


def tick_steps(stage: Stage, drawn: figure, time: Axis, steps: ColumnDataSource | None = None) -> None:
    """Let the x axis of `drawn` count steps from 1, if `time` does; other clocks have bokeh's own ticks. `steps` has
    a column "left", where each step begins; made here where there is none."""
    key, grid = f"{drawn.name}.ticks", drawn.xgrid[0]
    axis: Any = drawn.xaxis[0]
    ticker, formatter = (
        stage.once(f"{key}.plain", lambda: axis.ticker),
        stage.once(f"{key}.digits", lambda: axis.formatter),
    )
    if time.counts_steps:
        left = {"left": np.asarray(time.edges[:-1], np.float64)}
        edges = steps or stage.source(f"{key}.edges", left, "roam-edges")
        args = {"edges": edges, "closest": CLOSEST}
        ticker = stage.once(f"{key}.steps", lambda: CustomJSTicker(args=args, major_code=TICKS))
        formatter = stage.once(f"{key}.texts", lambda: CustomJSTickFormatter(args={"edges": edges}, code=TICK_TEXT))
    stage.set(axis, ticker=ticker, formatter=formatter)
    stage.set(grid, ticker=ticker if time.counts_steps else None)
