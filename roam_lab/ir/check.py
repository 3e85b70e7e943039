"""The independent check: slow, obvious, knows nothing of any strategy. Every plan passes through it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush

from roam_lab.errors import JudgementError
from roam_lab.ir.graph import Graph
from roam_lab.ir.layout import Layout
from roam_lab.ir.memory import Lifetime


def check_order(graph: Graph, order: Sequence[int]) -> None:
    """Raise JudgementError unless `order` runs every op once, each after all ops of its `after`."""
    count = len(graph.ops)
    if sorted(order) != list(range(count)):
        raise JudgementError(f"the order is not a permutation of the graph's {count} ops")
    step_of = {op: step for step, op in enumerate(order)}
    for index, op in enumerate(graph.ops):
        for before in op.after:
            if step_of[before] >= step_of[index]:
                raise JudgementError(f"op {index} ({op.name}) runs before op {before}, which it must follow")


def check_layout(lifetimes: Iterable[Lifetime], layout: Layout) -> None:
    """Raise JudgementError if a storage has no offset or lies outside the arena, or two that live at once overlap."""
    active: list[tuple[int, int, int]] = []  # (low, high, storage) of what is alive, disjoint, by address
    deaths: list[tuple[int, tuple[int, int, int]]] = []
    for life in sorted(lifetimes, key=lambda life: (life.start, life.storage)):
        offset = layout.offsets.get(life.storage)
        if offset is None:
            raise JudgementError(f"storage {life.storage} ({life.bytes} bytes) has no offset")
        high = offset + life.bytes
        if offset < 0 or high > layout.arena_bytes:
            raise JudgementError(
                f"storage {life.storage} at {offset}+{life.bytes} leaves the arena of {layout.arena_bytes} bytes"
            )
        while deaths and deaths[0][0] <= life.start:
            del active[bisect_left(active, heappop(deaths)[1])]
        entry = (offset, high, life.storage)
        at = bisect_left(active, entry)
        # The live storages are disjoint, so only the two neighbours by address can overlap the new one.
        for other_low, other_high, other in active[max(at - 1, 0) : at + 1]:
            if offset < other_high and other_low < high:
                raise JudgementError(f"storages {other} and {life.storage} overlap in the arena at step {life.start}")
        active.insert(at, entry)
        heappush(deaths, (life.end, entry))
