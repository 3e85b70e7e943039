"""Offload on top of the points of another strategy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from roam_lab.errors import FormatError
from roam_lab.ir.graph import Device, Graph
from roam_lab.ir.host_copies import waited_us
from roam_lab.ir.memory import captured_order, live_peak
from roam_lab.rewrite.offload import offload
from roam_lab.rewrite.points import Found, Goals, Point

SHARES = (0.0, 0.5, 0.75, 1.0)
"""Fractions of an extra time at which points are tried, too, if few extra times are asked for: the less a point
recomputes, the more storages there are to move."""
CLOSE = 0.995
"""The fraction of a budget that is aimed at, as a layout takes a little more than the live peak."""


def offloaded(graph: Graph, goals: Goals, points: Sequence[Point]) -> tuple[Point, ...]:
    """Those of `points` that matter to the goals, with storages moved to the host while ops run.

    Raises FormatError where the graph does not say how fast its device's link to the host is.
    """
    device = graph.device
    if device is None:
        raise FormatError(
            f"{graph.name}: its times come without rates of the device, so offload cannot be costed; capture the step "
            "with --timing or --times, or plan without offload"
        )
    known = Found(tuple(points))
    shares = SHARES if len(goals.extra_times) <= len(SHARES) else (1.0,)
    tried = [known.at_most(extra * share) for extra in goals.extra_times for share in shares]
    tried.append(points[0] if points else None)
    once = {id(point): point for point in tried if point is not None}
    made = [_with_offload(graph, device, point) for point in once.values()]
    found = [point for point in made if point is not None]
    for budget in goals.budgets:
        found += _within(graph, device, points, budget)
    return tuple(found)


def _within(graph: Graph, device: Device, points: Sequence[Point], budget: int) -> Iterator[Point]:
    """The fastest of `points` that offload brings within `budget` bytes, by bisection."""
    low, high = 0, len(points)
    while low < high:
        middle = (low + high) // 2
        point = _with_offload(graph, device, points[middle], int(CLOSE * budget))
        if point is not None:
            yield point
        if min(points[middle].peak_bytes, point.peak_bytes if point else points[middle].peak_bytes) <= budget:
            high = middle
        else:
            low = middle + 1


def _with_offload(graph: Graph, device: Device, point: Point, target: int = 0) -> Point | None:
    """`point` with offload, down to `target` bytes of live peak; None where offload does not help."""
    before = point.rewritten()
    after = offload(before, device, target)
    if after is before:
        return None
    order = captured_order(after.graph)
    us = sum(op.time_us or 0.0 for op in graph.ops) or 1.0
    extra = point.extra_time + round(waited_us(after, order, device) / us, 9)
    return Point(extra, live_peak(after.graph, order).bytes, lambda: after, point.strategy)
