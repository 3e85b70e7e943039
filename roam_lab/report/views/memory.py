"""Memory over time: curves to compare, and one run stacked by kind of storage, reduced to a picture's resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from roam_lab.errors import InputError
from roam_lab.ir import Graph, captured_order, lifetimes, live_bytes
from roam_lab.report.graphs import captured_label, captured_name, eager_graph, graph_of, planned_label
from roam_lab.report.units import bytes_text, unit_for
from roam_lab.report.views.axis import Axis, Clock, axis
from roam_lab.report.views.curves import Curve, Floats, Sizes, curve_of, sampled
from roam_lab.report.views.labels import Font, Label, placed
from roam_lab.report.views.look import kind_looks
from roam_lab.report.views.phases import PhaseBand, phase_bands
from roam_lab.report.views.places import kinds, places
from roam_lab.report.views.table import Table, Value

if TYPE_CHECKING:
    from roam_lab.plan import Plan, Profile

HEADROOM = 0.1
"""For each peak the memory axis ends by this fraction higher than the highest value: so names fit above the curves."""
PHASE_NAMES = 0.08
"""Fraction of the plot, at its top, that is reserved for the names of phases."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One kind of storage in the stack: its bytes at each x of the stack."""

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
    phases: tuple[PhaseBand, ...] = ()
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
    def end_bytes(self) -> float:
        """Where the memory axis ends."""
        return self.top_bytes * (1 + HEADROOM * max(len(self.peaks), 1)) / (1 - self.named_part)

    @property
    def named_part(self) -> float:
        """The fraction of the plot, at its top, in which the names of phases are."""
        return PHASE_NAMES if self.phases else 0.0

    def labels(self, width: float, height: float, font: Font) -> list[Label]:
        """The name of each curve's peak, 0 left out, placed in a plot of `width` by `height` pixels."""
        points = [
            (
                curve.peak_at / self.axis.end,
                (curve.peak_bytes + self.base_bytes) / self.end_bytes,
                f"{curve.what} peak: {curve.peak_name}",
            )
            for curve in self.peaks
        ]
        free = 1 - self.named_part
        labels = placed([(x, y / free, name) for x, y, name in points], width, height * free, font)
        return [replace(label, y=label.y * free) for label in labels]

    @property
    def peaks(self) -> list[Curve]:
        """The curves whose peaks are named, in the order of their labels."""
        return [curve for curve in self.curves if curve.peak_bytes]

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
        sentences = [f"{curve.label}: peak {bytes_text(curve.peak_bytes)}, {curve.basis}" for curve in self.curves]
        sentences += [curve.peak_note for curve in self.curves if curve.peak_note]
        if self.bound_bytes is not None:
            sentences.append(f"Proven lower bound of any order: {bytes_text(self.bound_bytes)}")
        if self.stack:
            largest = sorted(self.stack, key=lambda layer: -layer.peak_bytes)
            layers = ", ".join(f"{layer.kind} {bytes_text(layer.peak_bytes)}" for layer in largest)
            guess = f" ({self.guessed})" if self.guessed else ""
            sentences.append(f"The {self.stacked} run by kind, each at its own highest{guess}: {layers}")
        sentences.append(f"Resident bytes (parameters, state, batch): {bytes_text(self.resident_bytes)}, always there")
        return f"{self.title}. {'. '.join(sentences)}."

    @property
    def table(self) -> Table:
        columns = ("what", "peak, bytes", "peak", "at", "basis", "note")
        rows: list[tuple[Value, ...]] = []
        for curve in self.curves:
            size = bytes_text(curve.peak_bytes)
            rows.append((curve.label, curve.peak_bytes, size, curve.peak_at, curve.basis, curve.peak_note))
        if self.bound_bytes is not None:
            note = "no order needs less"
            rows.append(("lower bound", self.bound_bytes, bytes_text(self.bound_bytes), None, "proven", note))
        for layer in self.stack:
            size = bytes_text(layer.peak_bytes)
            rows.append((f"{self.stacked}: {layer.kind}", layer.peak_bytes, size, None, "predicted", "at its highest"))
        rows.append(("resident", self.resident_bytes, bytes_text(self.resident_bytes), None, "predicted", "always"))
        return Table(
            f"{self.title}; bytes above resident; position on the axis: {self.axis.label}", columns, tuple(rows)
        )


def memory_view(
    plan: Plan,
    profile: Profile | None = None,
    *,
    clock: Clock = "auto",
    resident: bool = False,
    baseline: tuple[str, Plan] | None = None,
) -> MemoryView:
    """Captured and planned order, the bound and, with a profile that has it, eager as it was measured.

    `clock`: the axis (see `axis`). `resident`: draw everything on top of the resident bytes. Curves of another graph
    than the plan's (eager where its graph differs, measured operators) are stretched to the plan's axis. Without
    `profile` the captured curve of a rewritten step is not known, and is left out. `baseline`: a plan to
    compare with, and its name; its curve is drawn behind. Raises InputError for a bare plan, or a clock for which the
    graph has no numbers.
    """
    graph = graph_of(plan)
    time = axis(graph, plan.order, clock)
    planned = curve_of("planned", "planned", planned_label(plan), graph, plan.order, time, time.end)
    curves = [] if plan.rewrites and profile is None else [_captured(graph, profile, time)]
    curves += [planned] if baseline is None else [_baseline(*baseline, time), planned]
    if profile is not None:
        curves += _measured(profile, time)
    return _view(graph, plan.order, time, curves, "planned", plan.lower_bound_bytes, resident)


def profile_memory_view(profile: Profile, *, clock: Clock = "auto", resident: bool = False) -> MemoryView:
    """The captured order of `profile`, stacked by kind, and eager as it was measured."""
    graph = eager_graph(profile)
    order = captured_order(graph)
    time = axis(graph, order, clock)
    curves = [_captured(graph, profile, time), *_measured(profile, time)]
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
    known = places(graph)
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
        phase_bands(known, order, time),
        known.guessed,
    )


def _captured(planned: Graph, profile: Profile | None, time: Axis) -> Curve:
    """Eager where `profile` knows it, else the planned graph in eager's order."""
    graph = planned if profile is None else eager_graph(profile)
    order = captured_order(graph)
    try:
        own = axis(graph, order, time.clock)
    except InputError:  # the eager twin of a timed graph may hold ops that were not timed
        own = axis(graph, order, "steps")
    return curve_of("captured", captured_name(profile), captured_label(profile), graph, order, own, time.end)


def _baseline(name: str, plan: Plan, time: Axis) -> Curve:
    graph = graph_of(plan)
    try:
        own = axis(graph, plan.order, time.clock)
    except InputError:  # another step may hold ops that were not timed
        own = axis(graph, plan.order, "steps")
    return curve_of("baseline", "baseline", f"baseline: {name}", graph, plan.order, own, time.end)


def _measured(profile: Profile, time: Axis) -> list[Curve]:
    """The measured curve, its operators matched with the graph's: those without an op in it get width 0."""
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
        Curve(
            "measured",
            "measured",
            label,
            basis,
            x[kept],
            values[kept],
            int(values[step]),
            float(x[step]),
            measured.labels[step],
        )
    ]


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
    kind_of = kinds(graph, places(graph))
    lives: dict[str, list[tuple[int, int, int]]] = {}
    for life in lifetimes(graph, order):
        lives.setdefault(kind_of[life.storage], []).append((life.start, life.end, life.bytes))
    curves = {}
    for kind in kind_looks(lives):
        rows = np.array(lives[kind], np.int64)
        curves[kind] = live_bytes(rows[:, 0], rows[:, 1], rows[:, 2], len(order))
    return curves
