"""Memory of the whole step over batch size or sequence length: a curve for each way to run it, beside GPUs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from roam_lab.plan.fit import FAR, Fit
from roam_lab.plan.runs import Run
from roam_lab.report.fit import run_text
from roam_lab.report.units import bytes_text, unit_for
from roam_lab.report.views.frontier import Line
from roam_lab.report.views.labels import Font, Label, placed
from roam_lab.report.views.table import Table, Value

LINES = 48
"""Pieces in which a curve is drawn: curves cross and bend between captured sizes, too."""
HEADROOM = 1.06
ROLES = ("captured", "planned", "little-time", "more-time")
"""Looks of eager, planned, and the plans that may add the least and the most time."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One way to run the step. `points`: captured sizes; `known`, `beyond`: corners of the curve between captured
    sizes, and outside them, where it is extrapolated. All are (size, bytes)."""

    run: Run
    role: str
    points: tuple[tuple[int, int], ...]
    known: tuple[tuple[float, int], ...]
    beyond: tuple[tuple[tuple[float, int], ...], ...]

    @property
    def name(self) -> str:
        return run_text(self.run) if isinstance(self.run, str) else f"{run_text(self.run)} time"


@dataclass(frozen=True)
class SizesView:
    """`ring`: size and bytes of the plan that is shown, where its size is known. `end_size`, `end_bytes`: where the
    axes end, which begin at 0."""

    name: str
    axis: str
    fixed: int | None
    curves: tuple[Curve, ...]
    lines: tuple[Line, ...]
    ring: tuple[int, int] | None
    end_size: float
    end_bytes: float

    @property
    def title(self) -> str:
        return f"Memory of one training step over its {self.axis}: {self.name}"

    @property
    def x_label(self) -> str:
        beside = "sequence length" if self.axis == "batch size" else "batch size"
        return self.axis if self.fixed is None else f"{self.axis} (at {beside} {self.fixed:,})"

    @property
    def unit(self) -> tuple[str, int]:
        """Unit of the memory axis and its bytes."""
        return unit_for(int(self.end_bytes))

    @property
    def anchors(self) -> tuple[tuple[float, float, str], ...]:
        """(size, bytes, name): each curve where it leaves the plot, each GPU at the left edge, the shown plan."""
        ends = []
        for curve in self.curves:
            inside = [
                corner
                for part in (curve.known, *curve.beyond)
                for corner in part
                if corner[0] <= self.end_size and corner[1] <= self.end_bytes
            ]
            if inside:
                ends.append((*max(inside), curve.name))
        gpus = [(0.0, line.bytes, line.name) for line in self.lines]
        ring = [] if self.ring is None else [(*self.ring, f"this plan: {bytes_text(self.ring[1])}")]
        return (*ends, *gpus, *ring)

    def labels(self, width: float, height: float, font: Font) -> list[Label]:
        """The name of each anchor, placed in a plot of `width` by `height` pixels."""
        points = [(size / self.end_size, need / self.end_bytes, name) for size, need, name in self.anchors]
        return placed(points, width, height, font)

    @property
    def alt(self) -> str:
        sentences = [
            f"{curve.name}: " + ", ".join(f"{bytes_text(need)} at {size:,}" for size, need in curve.points)
            for curve in self.curves
        ]
        gpus = ", ".join(f"{line.name} {bytes_text(line.bytes)}" for line in self.lines)
        return (
            f"{self.title}, predicted. {'; '.join(sentences)}. What a step can have of GPUs: {gpus or 'none is near'}. "
            "Between these sizes curves are straight; beside them they are extrapolated."
        )

    @property
    def table(self) -> Table:
        columns = (self.axis, *(f"{curve.name}, bytes" for curve in self.curves))
        sizes = sorted({size for curve in self.curves for size, _ in curve.points})
        rows: list[tuple[Value, ...]] = [
            (size, *(dict(curve.points).get(size) for curve in self.curves)) for size in sizes
        ]
        return Table(f"{self.title}, predicted, at the sizes that were captured", columns, tuple(rows))


def sizes_view(fit: Fit, ring: tuple[int, int] | None = None) -> SizesView:
    """The curves of `fit`: eager, planned, and the plans that may add the least and the most time. `ring`: size and
    bytes of the plan that is shown.

    The axes end where the plan that adds no time fills the largest GPU, or at the last size of `fit`.
    """
    more = fit.runs[2:]
    runs = (*fit.runs[:2], *dict.fromkeys((*more[:1], *more[-1:])))
    gpus = [device for device in fit.devices if device.is_gpu]
    largest = max((device.room_bytes for device in gpus), default=0)
    end = float(_last(fit, largest)) * 1.04
    highest = min(float(largest), max(fit.need(int(end), "eager"), 1)) if largest else fit.need(int(end), "eager")
    least = min(fit.need(fit.points[0].batch, run) for run in runs)
    end_bytes = HEADROOM * max(highest, least, ring[1] if ring else 0)
    names: dict[int, list[str]] = {}
    for device in gpus:
        names.setdefault(device.room_bytes, []).append(device.name)
    rooms = [room for room in sorted(names) if 0.05 * end_bytes <= room <= end_bytes]
    lines = tuple(Line(", ".join(names[room]), room) for room in rooms)
    curves = tuple(_curve(fit, run, role, end, end_bytes) for run, role in zip(runs, ROLES, strict=False))
    return SizesView(fit.name or "a training step", fit.axis, fit.fixed, curves, lines, ring, end, end_bytes)


def _last(fit: Fit, largest: int) -> int:
    """The size at which the plan that adds no time fills `largest` bytes, if `fit` has one; else twice the last
    captured size."""
    last = fit.points[-1].batch
    low, high = 1, FAR * last
    if not largest or fit.need(high, "planned") <= largest:
        return 2 * last
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fit.need(middle, "planned") <= largest else (low, middle)
    return max(high, fit.points[0].batch + 1, 2)


def _curve(fit: Fit, run: Run, role: str, end: float, end_bytes: float) -> Curve:
    first, last = fit.points[0].batch, fit.points[-1].batch
    stop = int(end)
    grid = {max(round(number * stop / LINES), 1) for number in range(LINES + 1)}
    sizes = sorted(grid | {point.batch for point in fit.points} | {stop})
    corners = [(size, fit.need(size, run)) for size in sizes]
    shown = _cut([corner for corner in corners if corner[0] <= stop], end_bytes)
    points = tuple((point.batch, fit.need(point.batch, run)) for point in fit.points)
    known = tuple((size, need) for size, need in shown if first <= size <= last)
    before = tuple((size, need) for size, need in shown if size <= first)
    after = tuple((size, need) for size, need in shown if size >= last)
    beyond = tuple(part for part in (before, after) if len(part) > 1)
    return Curve(run, role, points, known, beyond)


def _cut(corners: Iterable[tuple[float, int]], highest: float) -> list[tuple[float, int]]:
    """The corners below `highest`; the last lies where the curve crosses it."""
    kept: list[tuple[float, int]] = []
    for size, need in corners:
        if need > highest:
            if kept and need > kept[-1][1]:
                before, low = kept[-1]
                kept.append((before + (size - before) * (highest - low) / (need - low), int(highest)))
            break
        kept.append((size, need))
    return kept
