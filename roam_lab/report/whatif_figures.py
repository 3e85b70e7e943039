"""The figures of one what-if, whether its plan is at hand or only a row of a sweep's file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from roam_lab.ir import live_curve
from roam_lab.report.rewrites import kind_name, saved_text, signed_bytes

if TYPE_CHECKING:
    from roam_lab.plan import Plan

SAMPLES = 48
"""Values of a sparkline; each is the highest of its part of the step."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Sizes in bytes. `resident_bytes` is None of a bare plan, `curve` is live memory over the step at SAMPLES places
    at most (empty where it is not known)."""

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
    """Those of a plan at hand."""
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
    )


def figures_in(row: Mapping[str, Any]) -> Figures:
    """Those in a planned row of a sweep (`roam-sweep/1`)."""
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
    )


def highest(curve: Sequence[int], samples: int = SAMPLES) -> tuple[int, ...]:
    """The highest value of each of `samples` equal parts of `curve`; all of it where it is no longer."""
    if len(curve) <= samples:
        return tuple(curve)
    ends = [len(curve) * at // samples for at in range(samples + 1)]
    return tuple(max(curve[start:end]) for start, end in pairwise(ends))
