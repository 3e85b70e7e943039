"""Checks of the arguments of `make_plan`: budgets, extra times, limits, seeds, alignments."""

from __future__ import annotations

import math
from typing import Any

from roam_lab.errors import ParameterError

NODE_LIMITS = (8, 1024)


def check_goals(budget: Any, extra_time: Any) -> None:
    """Raise ParameterError for a budget or an extra time that makes no sense."""
    if budget is not None and (type(budget) is not int or budget < 0):
        raise ParameterError(f"budget is {budget!r}; give a whole number of bytes, 0 or more")
    number = isinstance(extra_time, int | float) and not isinstance(extra_time, bool)
    if extra_time is not None and (not number or not 0 <= extra_time < math.inf):
        raise ParameterError(f"extra_time is {extra_time!r}; give a fraction of the step's time, 0 or more")


def check_limits(node_limit: int | None, time_limit: float | None, seed: int, alignment: int) -> None:
    """Raise ParameterError for a limit, seed or alignment that makes no sense."""
    low, high = NODE_LIMITS
    if node_limit is not None and (type(node_limit) is not int or not low <= node_limit <= high):
        raise ParameterError(f"node_limit is {node_limit!r}, outside its range {low} to {high} (ops a task)")
    if time_limit is not None and (
        isinstance(time_limit, bool) or not isinstance(time_limit, (int, float)) or not time_limit > 0
    ):
        raise ParameterError(f"time_limit is {time_limit!r}; give a number of seconds above 0")
    if type(seed) is not int:
        raise ParameterError(f"seed is {seed!r}; give a whole number")
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise ParameterError(f"alignment is {alignment!r}; give a power of two, in bytes")
