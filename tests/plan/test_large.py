"""Large graphs plan in bounded time and memory."""

from __future__ import annotations

import resource
import time

import pytest

from roam_lab.plan import make_plan
from tests.plan.training_step import training_step


@pytest.mark.parametrize("blocks", [200, pytest.param(2100, marks=pytest.mark.slow)])  # 100,000 ops, up to a minute
def test_a_large_step(blocks: int) -> None:
    graph = training_step(blocks)
    began = time.perf_counter()
    plan = make_plan(graph)
    assert time.perf_counter() - began < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 * 2**20  # KiB
    assert plan.peak_bytes < 0.6 * plan.captured_peak_bytes
    assert plan.gap < 0.01
    assert plan.arena_bytes <= 1.002 * plan.peak_bytes
