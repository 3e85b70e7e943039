"""A frontier as text: what each point takes and costs."""

from __future__ import annotations

from roam_lab.plan.frontier import Frontier
from roam_lab.report.legal import legal
from roam_lab.report.text import table
from roam_lab.report.units import bytes_text


def frontier_text(found: Frontier) -> str:
    """A line for each point: more time, arena, the whole step, ops that run again."""
    rows = [("more time", "arena", "of captured", "resident + arena", "ops again")]
    rows += [
        (
            f"{100 * point.extra_time:.1f} %",
            bytes_text(point.arena_bytes),
            f"{100 * point.arena_bytes / max(found.captured_peak_bytes, 1):.1f} %",
            bytes_text(found.resident_bytes + point.arena_bytes),
            f"{point.recomputed:,}",
        )
        for point in found.points
    ]
    captured = bytes_text(found.captured_peak_bytes)
    return legal(
        f"{found.name}: captured peak {captured}; times: {found.times}\n{table(rows, frozenset(range(5)))}\n"
        "Ops again: those that run a second time. Free points fuse ops and run them in place."
    )
