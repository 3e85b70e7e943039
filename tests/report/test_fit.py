"""Which GPU holds which batch, as text."""

from __future__ import annotations

from roam_lab.plan.fit import MOST_BATCH, Device, Fit, Point
from roam_lab.report.fit import fit_text

GIB = 2**30


def lines(fit: Fit) -> dict[str, str]:
    return {line.split("  ")[1]: line for line in fit_text(fit).splitlines() if line.startswith("  ")}


def test_needs_and_largest_batches() -> None:
    points = (Point(1, GIB, 2 * GIB, GIB), Point(3, GIB, 6 * GIB, 3 * GIB))
    told = lines(Fit("f", points, (Device("small", 2 * GIB), Device("middle", 8 * GIB))))
    assert told["small"].split()[-2:] == ["none", "none"]
    assert told["middle"].split()[-2:] == ["3", "6"]
    assert "7.00 GiB" in fit_text(Fit("f", points))


def test_what_never_fills_a_gpu_is_told_so() -> None:
    told = lines(Fit("f", (Point(1, 0, 1, 1), Point(2, 0, 1, 1)), (Device("any", 2 * GIB),)))
    assert f"over {MOST_BATCH:,}" in told["any"]
