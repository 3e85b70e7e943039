"""Lifetimes and live bytes of an order: the one place where peak memory is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roam_lab.ir.graph import Graph

Order = tuple[int, ...]
"""Op indices in the sequence in which they run."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Storage `storage` of `bytes` bytes lives in the half-open steps [start, end)."""

    storage: int
    start: int
    end: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Peak:
    """The most bytes live at once, and the first step at which they are."""

    bytes: int
    step: int


def captured_order(graph: Graph) -> Order:
    """The order in which eager PyTorch ran the ops."""
    return tuple(range(len(graph.ops)))


def lifetimes(graph: Graph, order: Sequence[int]) -> tuple[Lifetime, ...]:
    """Lifetimes of every created storage that has bytes and takes memory of the step, by storage index."""
    start: dict[int, int] = {}
    end: dict[int, int] = {}
    for step, index in enumerate(order):
        for storage in graph.ops[index].creates:
            if not graph.storages[storage].always_there:
                start[storage] = step
        for storage in graph.uses[index]:
            end[storage] = step + 1
    steps = len(order)
    return tuple(
        Lifetime(storage, start[storage], steps if info.output else end[storage], info.bytes)
        for storage, info in enumerate(graph.storages)
        if info.bytes and storage in start
    )


def live_bytes(
    starts: NDArray[np.int64], ends: NDArray[np.int64], sizes: NDArray[np.int64], steps: int
) -> NDArray[np.int64]:
    """Bytes alive in each of `steps` steps, shape (steps,), where buffer i has `sizes[i]` bytes and lives in the
    half-open steps [starts[i], ends[i])."""
    change = np.zeros(steps + 1, dtype=np.int64)
    np.add.at(change, starts, sizes)
    np.subtract.at(change, ends, sizes)
    curve: NDArray[np.int64] = np.cumsum(change[:-1])
    return curve


def lifetimes_curve(lives: Sequence[Lifetime]) -> NDArray[np.int64]:
    """Live bytes of these lifetimes in every step up to the last end. No arena is smaller than its maximum."""
    rows = np.array([(life.start, life.end, life.bytes) for life in lives], np.int64).reshape(-1, 3)
    return live_bytes(rows[:, 0], rows[:, 1], rows[:, 2], int(rows[:, 1].max(initial=0)))


def live_curve(graph: Graph, order: Sequence[int]) -> NDArray[np.int64]:
    """Live bytes while each step of `order` runs, shape (steps,); sizes are not rounded up, and residents not
    counted."""
    curve = np.zeros(len(order), np.int64)
    found = lifetimes_curve(lifetimes(graph, order))
    curve[: len(found)] = found
    return curve


def live_peak(graph: Graph, order: Sequence[int]) -> Peak:
    """The peak of `live_curve`: the figure that every plan, bound and strategy is compared by."""
    curve = live_curve(graph, order)
    if not len(curve):
        return Peak(0, 0)
    step = int(curve.argmax())
    return Peak(int(curve[step]), step)
