"""Measured curves: their peak, and their data."""

import pytest

from roam_lab.errors import FormatError
from roam_lab.ir.measured import MeasuredCurve, measured_from_data


def test_the_peak_is_where_the_curve_is_first_that_high() -> None:
    curve = MeasuredCurve(("a", "b", "c"), (1, 7, 7), "a tracker", "cpu")
    assert (curve.peak_bytes, curve.peak_step) == (7, 1)


def test_an_empty_curve_has_a_peak_of_nothing() -> None:
    curve = MeasuredCurve((), (), "a tracker", "cpu")
    assert (curve.peak_bytes, curve.peak_step) == (0, 0)


def test_each_operator_has_its_bytes() -> None:
    with pytest.raises(FormatError, match="has 2 labels and 1 live_bytes"):
        MeasuredCurve(("a", "b"), (1,), "a tracker", "cpu")


def test_a_curve_survives_as_data_and_what_is_missing_is_named():
    curve = MeasuredCurve(("a", "b"), (1, 7), "a tracker", "cpu")
    assert measured_from_data(curve.to_data()) == curve
    assert measured_from_data({**curve.to_data(), "live_bytes": [1.0, "7"]}) == curve
    for key in curve.to_data():
        with pytest.raises(FormatError, match=f"a measured curve has no {key}"):
            measured_from_data({name: value for name, value in curve.to_data().items() if name != key})
