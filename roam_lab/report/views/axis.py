"""The axis of time: where each step of an order begins and ends, measured by one of four clocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from roam_lab.errors import InputError
from roam_lab.ir import Graph
from roam_lab.report.units import unit_for

Clock = Literal["auto", "steps", "working", "bytes", "time"]
CLOCKS: tuple[Clock, ...] = ("auto", "steps", "working", "bytes", "time")
SCALAR_BYTES = 64
"""An op that creates and touches no more bytes than this cannot be seen: counters, scalars, views."""
CLOSEST = 0.045
"""Ticks of steps are at least this fraction of the axis apart."""
FOLD_FROM = 0.2
"""`auto` folds those steps away when they are at least this fraction of all."""


@dataclass(frozen=True, slots=True)
class Axis:
    """`edges[i]` to `edges[i + 1]` is where step i lies; steps folded away have width 0. `label` names the unit."""

    clock: Clock
    label: str
    edges: NDArray[np.float64]

    @property
    def end(self) -> float:
        """Where the last step ends; 1.0 if all steps have width 0, so that the axis can be drawn."""
        return float(self.edges[-1]) or 1.0

    @property
    def counts_steps(self) -> bool:
        """Whether its ticks are step numbers, as in all texts; otherwise they are in the unit of `label`."""
        return self.clock in ("steps", "working")

    def step_at(self, x: float) -> int:
        """The step, from 0, that lies at `x`; if several of width 0 lie there, the last of them."""
        return min(max(int(np.searchsorted(self.edges, x, "right")) - 1, 0), max(len(self.edges) - 2, 0))

    def ticks(self, wanted: int) -> list[tuple[float, str]]:
        """About `wanted` round numbers and their positions; steps that are folded together share a tick."""
        if not self.counts_steps:
            return [(value, f"{value:,g}") for value in ticks(self.end, wanted)]
        shown: list[tuple[float, str]] = []
        for step in ticks(len(self.edges) - 1, wanted):
            x = float(self.edges[max(int(step) - 1, 0)])
            whole = step == int(step) and 0 < step < len(self.edges)
            if whole and (not shown or x - shown[-1][0] >= CLOSEST * self.end):
                shown.append((x, f"{int(step):,}"))
        return shown


def clocks_of(graph: Graph) -> tuple[Clock, ...]:
    """The clocks that `graph` can be shown by: "time" only where every op was timed."""
    timed = bool(graph.ops) and all(op.time_us is not None for op in graph.ops)
    return ("steps", "working", "bytes", "time") if timed else ("steps", "working", "bytes")


def axis(graph: Graph, order: Sequence[int], clock: Clock = "auto") -> Axis:
    """The axis of `order`. Raises InputError for an unknown clock, or "time" where ops were not timed.

    steps: one an op. working: ops that create or touch more than SCALAR_BYTES. bytes: what each op creates and touches
    in the arena. time: as measured op by op. auto: steps, or working where that folds a fifth away.
    """
    moved = _moved_bytes(graph)[np.asarray(order, np.int64)] if len(order) else np.zeros(0, np.int64)
    working = moved > SCALAR_BYTES
    idle = int(len(order) - working.sum())
    if clock == "auto":
        clock = "working" if working.any() and idle >= FOLD_FROM * len(order) else "steps"
    if clock == "steps":
        return Axis(clock, f"step, of {len(order):,}", _edges(np.ones(len(order))))
    if clock == "working":
        label = f"step, of {len(order):,}; {idle:,} that move no more than {SCALAR_BYTES} B take no width"
        return Axis(clock, label, _edges(working.astype(float)))
    if clock == "bytes":
        name, unit = unit_for(int(moved.sum()))
        return Axis(clock, f"arena bytes created and touched so far, {name}", _edges(moved / unit))
    if clock == "time":
        times = [graph.ops[index].time_us for index in order]
        if None in times:
            raise InputError(f"{graph.name}: its ops were not timed; profile with timing, or choose another axis")
        return Axis(clock, "time, op by op as measured, ms", _edges(np.array(times, float) / 1e3))
    raise InputError(f"no axis is named {clock!r}; choose one of {', '.join(CLOCKS)}")


def _moved_bytes(graph: Graph) -> NDArray[np.int64]:
    sizes = [storage.bytes for storage in graph.storages]
    return np.array([sum(sizes[storage] for storage in uses) for uses in graph.uses], np.int64)


def _edges(widths: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([np.zeros(1), np.cumsum(widths, dtype=np.float64)])


def ticks(top: float, wanted: int) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) from 0 to at most `top`, about `wanted` of them."""
    raw = max(top, 1e-9) / wanted
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    return [float(step * number) for number in range(int(top / step + 1e-9) + 1)]
