"""One run's live bytes against time, reduced to the resolution of a picture, with its peak named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roam_lab.ir import Graph, live_curve
from roam_lab.report.units import bytes_text
from roam_lab.report.views.axis import Axis

BUCKETS = 800
"""Buckets of the axis, about a pixel each: a longer curve keeps the least and the greatest value of each bucket."""
SPIKE = 0.05
"""A peak is called a spike when memory stays within this fraction of it for less than this fraction of the axis."""

Floats = NDArray[np.float64]
Sizes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Curve:
    """Bytes from `x[i]` up to `x[i + 1]` are `size_bytes[i]`; the last value holds to the end of the axis.

    `what` names its peak: "eager" (the step as eager PyTorch runs it), "captured" (the planned graph in eager's order),
    "planned" or "measured". `peak_at` is where the peak begins, on the same axis; `peak_name` the op that runs then.
    `basis`: "predicted" or "measured on ...".
    """

    role: str
    what: str
    label: str
    basis: str
    x: Floats
    size_bytes: Sizes
    peak_bytes: int
    peak_at: float
    peak_name: str = ""
    peak_note: str = ""


def curve_of(role: str, what: str, label: str, graph: Graph, order: Sequence[int], time: Axis, end: float) -> Curve:
    """`time` is the order's own axis; the curve is stretched to `end`."""
    values = live_curve(graph, order)
    step = int(values.argmax()) if len(values) else 0
    edges = time.edges * (end / time.end)
    kept = sampled(edges, values, end)
    name = note = ""
    if len(values):
        op = graph.ops[order[step]]
        name = f"{op.name} · {op.module}" if op.module else op.name
        note = peak_note(what, graph, order, values, edges)
    peak = int(values.max(initial=0))
    return Curve(role, what, label, "predicted", edges[:-1][kept], values[kept], peak, float(edges[step]), name, note)


def peak_note(what: str, graph: Graph, order: Sequence[int], values: Sizes, edges: Floats) -> str:
    """Where the peak lies, and whether it is one spike; a sentence without its full stop."""
    step = int(values.argmax())
    op = graph.ops[order[step]]
    near = values >= (1 - SPIKE) * values[step]
    width = float(np.diff(edges)[near].sum()) / max(float(edges[-1]), 1e-12)
    shape = "one short spike" if width < SPIKE else "broad"
    level = int(values[~near].max(initial=0))
    where = ", ".join(part for part in (op.phase, op.module, op.source) if part)
    away = f"; outside it never more than {bytes_text(level)}" if width < SPIKE else ""
    return (
        f"The {what} peak is {shape}, at step {step + 1:,} of {len(values):,}: {op.name} ({op.target})"
        f"{f', {where}' if where else ''}{away}"
    )


def sampled(edges: Floats, values: Sizes, end: float) -> NDArray[np.intp]:
    """Indices of `values` to draw: of the steps that begin within one bucket, the first, the least, the greatest and
    the last. Steps without width are kept when they are the peak of their bucket: no spike is lost."""
    if len(values) <= 2 * BUCKETS:
        return np.arange(len(values))
    bucket = np.minimum((edges[:-1] / end * BUCKETS).astype(np.int64), BUCKETS - 1)
    starts = np.flatnonzero(np.diff(bucket, prepend=-1))
    ends = np.append(starts[1:], len(values))
    kept: set[int] = set()
    for first, last in zip(starts.tolist(), ends.tolist(), strict=True):
        part = values[first:last]
        kept |= {first, first + int(part.argmin()), first + int(part.argmax()), last - 1}
    return np.array(sorted(kept), np.intp)
