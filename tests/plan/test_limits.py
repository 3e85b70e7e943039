"""The arguments of `make_plan`: what makes no sense is refused by name, with what to give; the ends are allowed."""

import math

import pytest

from roam_lab.errors import ParameterError
from roam_lab.plan.limits import check_goals, check_limits


@pytest.mark.parametrize(("budget", "extra_time"), [(None, None), (0, 0), (2**40, 0.1), (1, 3)])
def test_goals_that_make_sense(budget, extra_time):
    check_goals(budget, extra_time)


@pytest.mark.parametrize("budget", [-1, 1.5, True, "24GiB"])
def test_a_budget_is_a_whole_number_of_bytes(budget):
    with pytest.raises(ParameterError, match=r"budget is .*; give a whole number of bytes, 0 or more"):
        check_goals(budget, None)


@pytest.mark.parametrize("extra_time", [-0.1, math.inf, math.nan, True, False, "0.1"])
def test_an_extra_time_is_a_fraction(extra_time):
    with pytest.raises(ParameterError, match=r"extra_time is .*; give a fraction of the step's time, 0 or more"):
        check_goals(None, extra_time)


def test_limits_that_make_sense():
    check_limits(None, None, 0, 1)
    check_limits(8, 1e-3, -5, 64)
    check_limits(1024, 1, 5, 512)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ((7, None, 0, 64), r"node_limit is 7, outside its range 8 to 1024"),
        ((1025, None, 0, 64), r"node_limit is 1025, outside"),
        ((64.0, None, 0, 64), r"node_limit is 64\.0, outside"),
        ((True, None, 0, 64), r"node_limit is True, outside"),
        ((None, 0, 0, 64), r"time_limit is 0; give a number of seconds above 0"),
        ((None, True, 0, 64), r"time_limit is True; give"),
        ((None, "5", 0, 64), r"time_limit is '5'; give"),
        ((None, math.nan, 0, 64), r"time_limit is nan; give"),
        ((None, None, 0.0, 64), r"seed is 0\.0; give a whole number"),
        ((None, None, True, 64), r"seed is True; give a whole number"),
        ((None, None, 0, 0), r"alignment is 0; give a power of two, in bytes"),
        ((None, None, 0, 3), r"alignment is 3; give a power of two"),
        ((None, None, 0, 64.0), r"alignment is 64\.0; give"),
        ((None, None, 0, True), r"alignment is True; give"),
    ],
)
def test_limits_that_do_not(limits, message):
    with pytest.raises(ParameterError, match=message):
        check_limits(*limits)
