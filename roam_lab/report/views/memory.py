"""Memory over time: curves to compare, and one run stacked by kind of storage, cut down to a picture's pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from roam_lab.errors import InputError
from roam_lab.ir import Graph, captured_order, lifetimes, live_bytes, live_curve
from roam_lab.report.rows import eager_graph, graph_of
from roam_lab.report.units import bytes_text, unit_for
from roam_lab.report.views.axis import Axis, Clock, axis
from roam_lab.report.views.look import kind_looks
from roam_lab.report.views.places import kinds, places
from roam_lab.report.views.table import Table, Value

if TYPE_CHECKING:
    from roam_lab.plan import Plan, Profile

BUCKETS = 800
"""About a pixel each: of a longer curve every bucket keeps its least and its greatest value."""
SPIKE = 0.05
"""A peak is called a spike when memory stays near it (within this part) for less than this part of the axis."""

Floats = NDArray[np.float64]
Sizes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Curve:
    """Bytes from `x[i]` up to `x[i + 1]` are `size_bytes[i]`; the last value holds to the axis' end.

    `peak_at` is where the peak begins, on the same axis; `peak_name` the op that runs then. `basis`: "predicted" or
    "measured on ...".
    """

    role: str
    label: str
    basis: str
    x: Floats
    size_bytes: Sizes
    peak_bytes: int
    peak_at: float
    peak_name: str = ""
    peak_note: str = ""


@dataclass(frozen=True, slots=True)
class Layer:
    """One kind of storage in the stack: bytes at each of the stack's x."""

    kind: str
    size_bytes: Sizes
    peak_bytes: int


@dataclass(frozen=True)
class MemoryView:
    """What the memory figure shows. `base_bytes`: resident bytes under every curve, 0 where they are left out.

    `stack_x` and `stack` belong to the run named by `stacked` ("planned" or "captured"). `guessed`: see Places.
    """

    name: str
    axis: Axis
    curves: tuple[Curve, ...]
    bound_bytes: int | None
    resident_bytes: int
    base_bytes: int
    stacked: str
    stack_x: Floats
    stack: tuple[Layer, ...]
    guessed: str = ""

    @property
    def title(self) -> str:
        return f"Memory over one training step of {self.name}"

    @property
    def top_bytes(self) -> int:
        """The highest value drawn, at least 1."""
        return max([curve.peak_bytes for curve in self.curves] + [self.bound_bytes or 0, 1 - self.base_bytes]) + (
            self.base_bytes
        )

    @property
    def unit(self) -> tuple[str, int]:
        """Unit of the memory axis and its bytes."""
        return unit_for(self.top_bytes)

    @property
    def counted(self) -> str:
        """What the memory axis counts."""
        resident = bytes_text(self.resident_bytes)
        return f"resident ({resident}) + live" if self.base_bytes else f"live, above resident ({resident})"

    @property
    def alt(self) -> str:
        told = [f"{curve.label}: peak {bytes_text(curve.peak_bytes)}, {curve.basis}" for curve in self.curves]
        told += [curve.peak_note for curve in self.curves if curve.peak_note]
        if self.bound_bytes is not None:
            told.append(f"Proven lower bound of any order: {bytes_text(self.bound_bytes)}")
        if self.stack:
            largest = sorted(self.stack, key=lambda layer: -layer.peak_bytes)
            layers = ", ".join(f"{layer.kind} {bytes_text(layer.peak_bytes)}" for layer in largest)
            guess = f" ({self.guessed})" if self.guessed else ""
            told.append(f"The {self.stacked} run by kind, each at its own highest{guess}: {layers}")
        told.append(f"Resident bytes (parameters, state, batch): {bytes_text(self.resident_bytes)}, always there")
        return f"{self.title}. {'. '.join(told)}."

    @property
    def table(self) -> Table:
        columns = ("what", "peak, bytes", "peak", "at", "basis", "note")
        rows: list[tuple[Value, ...]] = []
        for curve in self.curves:
            size = bytes_text(curve.peak_bytes)
            rows.append((curve.label, curve.peak_bytes, size, curve.peak_at, curve.basis, curve.peak_note))
        if self.bound_bytes is not None:
            told = "no order needs less"
            rows.append(("lower bound", self.bound_bytes, bytes_text(self.bound_bytes), None, "proven", told))
        for layer in self.stack:
            size = bytes_text(layer.peak_bytes)
            rows.append((f"{self.stacked}: {layer.kind}", layer.peak_bytes, size, None, "predicted", "at its highest"))
        rows.append(("resident", self.resident_bytes, bytes_text(self.resident_bytes), None, "predicted", "always"))
        return Table(
            f"{self.title}; bytes above resident; position on the axis: {self.axis.label}", columns, tuple(rows)
        )


def memory_view(
    plan: Plan, profile: Profile | None = None, *, clock: Clock = "auto", resident: bool = False
) -> MemoryView:
    """Captured and planned order, the bound and, with a profile that has it, eager as it was measured.

    `clock`: the axis (see `axis`). `resident`: draw everything on top of the resident bytes. Curves of another graph
    than the plan's (eager where capture tells it apart, measured operators) are stretched to the plan's axis. Raises
    InputError for a bare plan, or a clock that the graph has no figures for.
    """
    graph = graph_of(plan)
    time = axis(graph, plan.order, clock)
    planned = _curve("planned", f"planned order ({plan.order_strategy})", graph, plan.order, time, time.end)
    source = graph if profile is None else eager_graph(profile)
    curves = [_captured(source, time), planned]
    if profile is not None:
        curves += _measured(profile, time)
    return _view(graph, plan.order, time, curves, "planned", plan.lower_bound_bytes, resident)


def profile_memory_view(profile: Profile, *, clock: Clock = "auto", resident: bool = False) -> MemoryView:
    """The captured order of `profile`, stacked by kind, and eager as it was measured."""
    graph = eager_graph(profile)
    order = captured_order(graph)
    time = axis(graph, order, clock)
    curves = [_captured(graph, time), *_measured(profile, time)]
    return _view(graph, order, time, curves, "captured", None, resident)


def _view(
    graph: Graph,
    order: Sequence[int],
    time: Axis,
    curves: Sequence[Curve],
    stacked: str,
    bound_bytes: int | None,
    resident: bool,
) -> MemoryView:
    stack_x, stack = _stack(graph, order, time)
    base = graph.resident_bytes if resident else 0
    name = graph.name or "a training step"
    return MemoryView(
        name,
        time,
        tuple(curves),
        bound_bytes,
        graph.resident_bytes,
        base,
        stacked,
        stack_x,
        stack,
        places(graph).guessed,
    )


def _captured(graph: Graph, time: Axis) -> Curve:
    order = captured_order(graph)
    try:
        own = axis(graph, order, time.clock)
    except InputError:  # the eager twin of a timed graph may hold ops that were not timed
        own = axis(graph, order, "steps")
    return _curve("captured", "captured order (eager)", graph, order, own, time.end)


def _curve(role: str, label: str, graph: Graph, order: Sequence[int], time: Axis, end: float) -> Curve:
    """`time` is the order's own axis; the curve is stretched to `end`."""
    values = live_curve(graph, order)
    step = int(values.argmax()) if len(values) else 0
    edges = time.edges * (end / time.end)
    kept = sampled(edges, values, end)
    name = note = ""
    if len(values):
        op = graph.ops[order[step]]
        name = f"{op.name} · {op.module}" if op.module else op.name
        note = peak_note(role, graph, order, values, edges)
    peak = int(values.max(initial=0))
    return Curve(role, label, "predicted", edges[:-1][kept], values[kept], peak, float(edges[step]), name, note)


def peak_note(role: str, graph: Graph, order: Sequence[int], values: Sizes, edges: Floats) -> str:
    """Where the peak lies, and whether it is one spike; a sentence without its full stop."""
    step = int(values.argmax())
    op = graph.ops[order[step]]
    near = values >= (1 - SPIKE) * values[step]
    width = float(np.diff(edges)[near].sum()) / max(float(edges[-1]), 1e-12)
    what = "one short spike" if width < SPIKE else "broad"
    level = int(values[~near].max(initial=0))
    where = ", ".join(part for part in (op.phase, op.module, op.source) if part)
    away = f"; outside it never more than {bytes_text(level)}" if width < SPIKE else ""
    return (
        f"The {role} peak is {what}, at step {step + 1:,} of {len(values):,}: {op.name} ({op.target})"
        f"{f', {where}' if where else ''}{away}"
    )


def _measured(profile: Profile, time: Axis) -> list[Curve]:
    """The measured curve, its operators lined up with the graph's: those that are no op of it take no width."""
    measured = profile.measured
    if measured is None or not measured.live_bytes:
        return []
    graph = eager_graph(profile)
    targets = {op.target for op in graph.ops}
    met = np.maximum(np.cumsum([label in targets for label in measured.labels]) - 1, 0)
    own = axis(graph, captured_order(graph), time.clock if time.clock != "time" else "steps")
    edges = own.edges * (time.end / own.end)
    at = np.minimum(met * max(len(edges) - 2, 0) // max(int(met[-1]), 1), len(edges) - 1) if met[-1] else met * 0
    x = edges[at] if met[-1] else np.linspace(0, time.end, len(met), endpoint=False)
    values = np.array(measured.live_bytes, np.int64)
    kept = sampled(np.append(x, time.end), values, time.end)
    step = int(values.argmax())
    basis = f"measured on {measured.device}"
    label = f"measured eager ({measured.device})"
    return [
        Curve("measured", label, basis, x[kept], values[kept], int(values[step]), float(x[step]), measured.labels[step])
    ]


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


def _stack(graph: Graph, order: Sequence[int], time: Axis) -> tuple[Floats, tuple[Layer, ...]]:
    by_kind = kind_curves(graph, order)
    if not by_kind:
        return np.zeros(0), ()
    total: Sizes = np.sum(list(by_kind.values()), axis=0)
    kept = sampled(time.edges, total, time.end)
    layers = tuple(Layer(kind, curve[kept], int(curve.max())) for kind, curve in by_kind.items())
    return time.edges[:-1][kept], layers


def kind_curves(graph: Graph, order: Sequence[int]) -> Mapping[str, Sizes]:
    """Live bytes in each step of `order`, by kind of storage; together they are `live_curve`."""
    told = kinds(graph, places(graph))
    lives: dict[str, list[tuple[int, int, int]]] = {}
    for life in lifetimes(graph, order):
        lives.setdefault(told[life.storage], []).append((life.start, life.end, life.bytes))
    curves = {}
    for kind in kind_looks(lives):
        rows = np.array(lives[kind], np.int64)
        curves[kind] = live_bytes(rows[:, 0], rows[:, 1], rows[:, 2], len(order))
    return curves
