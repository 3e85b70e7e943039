"""The figures of one what-if, from its plan or from a row of a sweep's file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from roam_lab.ir import captured_order, live_curve
from roam_lab.report.rewrites import kind_name, saved_text, signed_bytes

if TYPE_CHECKING:
    from roam_lab.plan import Plan
    from roam_lab.report.whatifs import WhatIf

SAMPLES = 48
"""Values of a sparkline; each is the highest of its part of the step."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Sizes in bytes. `resident_bytes` is None for a bare plan; `curve` is live memory over the step at up to SAMPLES
    moments (empty where it is not known). `eager_bytes`: what eager takes for the same step above the residents;
    `eager_curve`: at up to SAMPLES moments, where a profile is known."""

    order: str
    layout: str
    rewritten: str
    resident_bytes: int | None
    peak_bytes: int
    arena_bytes: int
    lower_bound_bytes: int
    optimal: bool
    extra_time: float
    seconds: float
    saved: str
    curve: tuple[int, ...] = ()
    eager_bytes: int | None = None
    eager_curve: tuple[int, ...] = ()

    @property
    def planned(self) -> bool:
        """Whether these are figures of a plan; those of eager have no arena and no layout."""
        return bool(self.layout)

    @property
    def step_bytes(self) -> int | None:
        """The whole step: resident and arena."""
        return None if self.resident_bytes is None else self.resident_bytes + self.arena_bytes

    @property
    def gap_text(self) -> str:
        """How far the peak may lie above the best: "optimal", "1.20 %"; "" where nothing is proven."""
        if self.optimal or self.peak_bytes <= self.lower_bound_bytes:
            return "optimal"
        bound = self.lower_bound_bytes
        return f"{100 * (self.peak_bytes / bound - 1):.2f} %" if bound else ""


def figures_of(plan: Plan) -> Figures:
    """The figures of a plan."""
    graph = plan.graph
    return Figures(
        plan.order_strategy,
        plan.layout_strategy,
        plan.rewrite_strategy if plan.rewrites else "",
        None if graph is None else graph.resident_bytes,
        plan.peak_bytes,
        plan.arena_bytes,
        plan.lower_bound_bytes,
        plan.optimal,
        plan.extra_time,
        plan.seconds,
        saved_text(plan),
        () if graph is None else highest(live_curve(graph, plan.order).tolist()),
        plan.eager_bytes,
    )


def beside_eager(row: WhatIf, eager_bytes: Sequence[int]) -> WhatIf:
    """`row` with eager's live bytes over its step, for the row of eager and the line behind each sparkline."""
    curve, figures = highest(eager_bytes), row.figures
    if figures is None or figures.eager_curve == curve:
        return row
    return replace(row, figures=replace(figures, eager_curve=curve))


def eager_figures(of: Figures, plan: Plan | None = None) -> Figures:
    """The figures of the step as eager PyTorch runs it. `of`: those of any plan of the step; `plan`: that plan, where
    there is one; it gives the curve where no profile did, unless it is rewritten."""
    eager, curve = of.eager_bytes or 0, of.eager_curve
    if not curve and plan is not None and plan.graph is not None and not plan.rewrites:
        curve = highest(live_curve(plan.graph, captured_order(plan.graph)).tolist())
    return Figures("captured", "", "", of.resident_bytes, eager, eager, 0, False, 0.0, 0.0, "", curve, eager)


def figures_in(row: Mapping[str, Any]) -> Figures:
    """The figures in a planned row of a sweep's file (`roam-sweep/1`)."""
    savings = row.get("savings") or ()
    saved = ", ".join(f"{kind_name(str(one['kind']))} {signed_bytes(one['bytes'])}" for one in savings if one["bytes"])
    return Figures(
        str(row.get("order_strategy", "")),
        str(row.get("layout_strategy", "")),
        str(row.get("rewrite_strategy", "")) if savings else "",
        row["resident_bytes"],
        row["peak_bytes"],
        row["arena_bytes"],
        row["lower_bound_bytes"],
        bool(row.get("optimal")),
        row["extra_time"],
        row["seconds"],
        saved,
        eager_bytes=max(row["eager_peak_bytes"], row["captured_peak_bytes"]),
    )


def highest(curve: Sequence[int], samples: int = SAMPLES) -> tuple[int, ...]:
    """The highest value of each of `samples` equal parts of `curve`; the curve itself where it has no more values."""
    if len(curve) <= samples:
        return tuple(curve)
    ends = [len(curve) * at // samples for at in range(samples + 1)]
    return tuple(max(curve[start:end]) for start, end in pairwise(ends))
