"""The CPU allocator's own account of a piece of work, by torch's profiler: no dispatch mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def allocator_peak(work: Callable[[], Any]) -> int:
    """The most bytes above those at the start, workspaces of kernels included."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak
