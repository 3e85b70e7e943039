"""The figures of a what-if as plain JSON data."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from roam_lab.report.whatifs import WhatIf


def row_data(row: WhatIf) -> dict[str, Any]:
    """The figures under the names that plans give them, in bytes and seconds; empty where there is no plan."""
    figures, plan = row.figures, row.held
    if figures is None:
        return {}
    return {
        "order": figures.order,
        "layout": figures.layout,
        "rewrite": figures.rewritten or "none",
        "extra_time": figures.extra_time,
        "savings": [] if plan is None else [asdict(saving) for saving in plan.savings],
        "node_limit": row.node_limit,
        "peak_bytes": figures.peak_bytes,
        "lower_bound_bytes": figures.lower_bound_bytes,
        "captured_peak_bytes": None if plan is None else plan.captured_peak_bytes,
        "optimal": figures.optimal,
        "arena_bytes": figures.arena_bytes,
        "step_bytes": figures.step_bytes,
        "eager_bytes": figures.eager_bytes,
        "seconds": figures.seconds,
        "measured_peak_bytes": row.measured_peak_bytes,
        "time_ratio": row.time_ratio,
        "identical": row.identical,
    }
