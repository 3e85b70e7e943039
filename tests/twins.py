"""Cases of one kind: where time counts a few of them run in `make test`, their twins in `make test-slow`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def sampled(cases: Iterable[Any], count: int) -> list[Any]:
    """All cases, as parameters of a test: `count` of them, evenly spread, in every run; the others are slow."""
    every = list(cases)
    stay = {round(place * (len(every) - 1) / max(count - 1, 1)) for place in range(count)}
    return [one if place in stay else pytest.param(one, marks=pytest.mark.slow) for place, one in enumerate(every)]


def apart_from(quick: Iterable[Any], cases: Iterable[Any]) -> list[Any]:
    """All cases, as parameters of a test: those that are not among the `quick` ones are slow."""
    chosen = list(quick)
    return [one if one in chosen else pytest.param(one, marks=pytest.mark.slow) for one in cases]
