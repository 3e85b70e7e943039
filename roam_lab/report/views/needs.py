"""Which ops still need a storage, and the time that it takes to free it and make it again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roam_lab.ir import Graph

AGAIN = (
    "can be made again",
    "the graph does not say whether it can be made again",
    "cannot be made again: it leaves the step",
    "cannot be made again: its op draws random numbers",
    "cannot be made again: its op changes what other ops see",
    "cannot be made again: it is changed in place after it is made",
    "cannot be made again: what it is made of is changed in place before it is needed last",
)
"""The answers that `Needs.again` has indices of."""


@dataclass(frozen=True)
class Needs:
    """Storage s is used in steps `step[at[s]:at[s + 1]]` of the order, ascending; its creation is the first of them.

    `again[s]`: index in AGAIN. `again_us[s]`: the time of its op, NaN where that is not known.
    """

    at: NDArray[np.int64]
    step: NDArray[np.int64]
    again: NDArray[np.int64]
    again_us: NDArray[np.float64]

    def after(self, storage: int, step: int) -> list[int]:
        """The steps after `step` that use the storage."""
        used = self.step[self.at[storage] : self.at[storage + 1]]
        found: list[int] = used[used > step].tolist()
        return found


def needs(graph: Graph, order: tuple[int, ...]) -> Needs:
    """When `order` uses each storage, and what it costs to make it again."""
    position = {op: step for step, op in enumerate(order)}
    users = [sorted(position[op] for op in ops if op in position) for ops in graph.users]
    at = np.concatenate([[0], np.cumsum([len(steps) for steps in users], dtype=np.int64)]).astype(np.int64)
    steps = np.array([step for found in users for step in found], np.int64)
    writes: dict[int, list[int]] = {}
    for step, index in enumerate(order):
        for storage in graph.ops[index].writes:
            writes.setdefault(storage, []).append(step)
    again = [_again(graph, storage, users[storage], writes) for storage in range(len(graph.storages))]
    times = [None if maker is None else graph.ops[maker].time_us for maker in graph.creator]
    again_us = np.array([np.nan if time is None else time for time in times], np.float64)
    return Needs(at, steps, np.array(again, np.int64), again_us)


def _again(graph: Graph, storage: int, used: list[int], writes: dict[int, list[int]]) -> int:
    maker = graph.creator[storage]
    if maker is None or not used or graph.ops[maker].pure is None:
        return 1
    op, born = graph.ops[maker], used[0]
    if graph.storages[storage].output:
        return 2
    if op.random:
        return 3
    if not op.pure or op.writes:
        return 4
    if any(step > born for step in writes.get(storage, ())):
        return 5
    if any(born < step < used[-1] for read in op.reads for step in writes.get(read, ())):
        return 6
    return 0
