"""What ops allocate themselves on the CPU comes from malloc, which keeps freed memory resident. Give it back in time.

Near the step's peak every free byte that malloc holds counts on top of the plan, so the program trims there: rarely
enough to cost little (trimmed pages have to be faulted in again), often enough to stay near the planned figure.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache

from roam_lab.ir import Graph, lifetimes

NEAR_PEAK = 0.75
"""Trim only where at least this share of the external region is in use; elsewhere there is room to spare."""
TRIM_EVERY_BYTES = 48 * 2**20
"""... and only after so many bytes were allocated since the last time."""


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        function: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # not glibc: nothing to do
        return None
    return function


def trim() -> None:
    """Return the C library's free memory to the system, where it can."""
    function = _malloc_trim()
    if function is not None:
        function(0)


def trim_points(graph: Graph, order: Sequence[int]) -> set[int]:
    """Steps of `order` before which to trim."""
    external = [life for life in lifetimes(graph, order) if graph.storages[life.storage].external]
    change = [0] * (len(order) + 1)
    made = [0] * len(order)
    for life in external:
        change[life.start] += life.bytes
        change[life.end] -= life.bytes
        made[life.start] += life.bytes
    live, curve = 0, []
    for delta in change[:-1]:
        live += delta
        curve.append(live)
    points: set[int] = set()
    since = TRIM_EVERY_BYTES  # what the step before has left behind
    for step, size in enumerate(made):
        since += size
        if size and since >= TRIM_EVERY_BYTES and curve[step] >= NEAR_PEAK * max(curve) > TRIM_EVERY_BYTES:
            points.add(step)
            since = size
    return points
