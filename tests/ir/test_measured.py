"""Measured curves: their peak, and their data."""

import pytest

from roam_lab.errors import FormatError
from roam_lab.ir.measured import MeasuredCurve


def test_the_peak_is_where_the_curve_is_first_that_high() -> None:
    curve = MeasuredCurve(("a", "b", "c"), (1, 7, 7), "a tracker", "cpu")
    assert (curve.peak_bytes, curve.peak_step) == (7, 1)


def test_an_empty_curve_has_a_peak_of_nothing() -> None:
    curve = MeasuredCurve((), (), "a tracker", "cpu")
    assert (curve.peak_bytes, curve.peak_step) == (0, 0)


def test_each_operator_has_its_bytes() -> None:
    with pytest.raises(FormatError, match="has 2 labels and 1 live_bytes"):
        MeasuredCurve(("a", "b"), (1,), "a tracker", "cpu")
