"""Which GPU holds which batch, and what fits into a memory, as text."""

from __future__ import annotations

from roam_lab.plan.devices import GIB, Device
from roam_lab.plan.fit import Fit
from roam_lab.plan.largest import Largest, LargestSizes, Within
from roam_lab.plan.runs import Point
from roam_lab.report.fit import fit_text, within_text


def lines(text: str) -> dict[str, list[str]]:
    """The cells of each row of its tables, by the first."""
    rows = [line.split() for line in text.splitlines() if line.startswith("  ")]
    return {row[0]: row[1:] for row in rows}


def test_needs_and_largest_batches() -> None:
    points = (Point(1, GIB, 2 * GIB, GIB), Point(3, GIB, 6 * GIB, 3 * GIB))
    devices = (Device("small", 2 * GIB), Device("middle", 6 * GIB), Device("large", 8 * GIB), Device("huge", 90 * GIB))
    text = fit_text(Fit("f", points, devices))
    message = lines(text)
    assert message["small"][-2:] == ["none", "none"]
    assert message["middle"][-2:] == ["~2", "~4*"]
    assert message["large"][-2:] == ["~3*", "~6*"]
    assert message["huge"][-3:] == ["3", "or", "more"]
    assert "7.00 GiB" in text


def test_captured_answers_have_no_mark() -> None:
    points = (Point(4, 0, 4 * GIB, 4 * GIB, None, {0.05: GIB}), Point(5, 0, 5 * GIB, 5 * GIB, None, {0.05: 2 * GIB}))
    text = fit_text(Fit("f", points, (Device("any", 5 * GIB),)))
    assert lines(text)["any"][2:] == ["4", "4", "~7*"]
    assert "+5 %" in text


def test_what_fits_into_a_memory() -> None:
    largest = (
        Largest("eager", 10, 3 * GIB, 4 * GIB, 0.0),
        Largest("planned", 12, 3 * GIB, 4 * GIB, 0.0),
        Largest(0.25, 31, 2 * GIB, None, 0.2493),
    )
    along = LargestSizes("batch size", 128, largest, (10, 11, 12, 13, 31))
    length = LargestSizes("sequence length", 1, (Largest("eager", 0, 9 * GIB, 9 * GIB, 0.0), largest[2]), (1, 31), 31)
    text = within_text(Within("f", Device("own", 4 * GIB), (along, length)))
    assert "f: what fits into 4.00 GiB, 1.00 GiB of it taken" in text
    assert "batch size at sequence length 128 (5 captured)" in text
    assert "sequence length at batch size 1 (2 captured)" in text
    rows = [line.split() for line in text.splitlines() if line.startswith("  ")]
    assert rows[1] == ["eager", "10", "3.00", "GiB", "4.00", "GiB"]
    assert rows[3] == ["+25", "%", "31", "3.10", "x", "2.00", "GiB", "24.9", "%"]
    assert rows[5] == ["eager", "none", "9.00", "GiB"]
    assert rows[6] == ["+25", "%", "31", "2.00", "GiB", "the", "model's", "end", "24.9", "%"]
