"""One search tree, of a part, a ranking and a capacity, which can be explored piece by piece."""

from __future__ import annotations

import time

import numpy as np

from roam_lab.layout.canonical_search import kernel
from roam_lab.layout.canonical_search.instance import Array, Part

MEMORY = 1 << 16
"""How many failed sets of unplaced buffers are remembered; a power of two."""

SLICE = 20_000_000
"""Units of work between two checks of the clock: some 30 ms."""


class Tree:
    """The state of one depth-first search for offsets, in units, below `capacity` units.

    `ranking`: the part's buffers in the sequence in which they are preferred. `dynamic`: where a component splits off,
    its buffers are ranked anew, those of the fullest sections first.
    """

    def __init__(self, part: Part, ranking: Array, dynamic: bool, capacity: int) -> None:
        count, last = len(ranking), len(part.totals)
        self.ranking, self.dynamic, self.capacity = ranking, dynamic, capacity
        lows, highs = (ends[ranking] for ends in part.spans)
        self.buffers = np.zeros((count, kernel.BUFFER_FIELDS), np.int64)
        self.buffers[:, kernel.LOW], self.buffers[:, kernel.HIGH] = lows, highs
        self.buffers[:, kernel.SIZE] = part.sizes[ranking]
        self.buffers[:, kernel.TWIN] = _twins(self.buffers[:, : kernel.SIZE + 1])
        self.buffers[:, kernel.RANK] = np.arange(count)
        self.sections = np.zeros((kernel.SECTION_FIELDS, last), np.int64)
        self.sections[kernel.UNPLACED] = part.totals
        change = np.zeros(last, np.int64)
        np.add.at(change, lows, 1)
        np.subtract.at(change, highs - 1, 1)
        self.sections[kernel.CROSSING] = np.cumsum(change)
        self.lists = np.zeros(8 * count, np.int64)
        self.lists[:count] = np.arange(count)
        self.saved = np.zeros((8 * count, 3), np.int64)
        self.trail = np.empty((count * (count + 1) // 2 + 1, 2), np.int64)
        self.memory = np.zeros((MEMORY, 4), np.int64)
        self.frames = np.zeros((count + 2, kernel.FRAME_FIELDS), np.int64)
        self.frames[0, kernel.COUNT], self.frames[0, kernel.LAST], self.frames[0, kernel.TIE] = count, last, -1
        self.registers = np.zeros(kernel.REGISTERS, np.int64)
        self.registers[kernel.LISTS_END] = count

    @property
    def nodes(self) -> int:
        return int(self.registers[kernel.NODES])

    @property
    def work(self) -> int:
        return int(self.registers[kernel.WORK])

    def explore(self, nodes: int, work: int, deadline: float | None) -> int:
        """FOUND, IMPOSSIBLE or PAUSED: after so many nodes, so much work, or when the deadline has passed."""
        while True:
            stop = min(work, self.work + SLICE)
            with np.errstate(over="ignore"):  # keys of dead ends wrap around
                status = kernel.search(
                    self.buffers,
                    self.sections,
                    self.lists,
                    self.saved,
                    self.trail,
                    self.memory,
                    self.frames,
                    self.registers,
                    self.capacity,
                    self.dynamic,
                    nodes,
                    stop,
                )
            over = deadline is not None and time.perf_counter() >= deadline
            if status != kernel.PAUSED or self.nodes >= nodes or self.work >= work or over:
                return status

    def found(self) -> Array:
        """Offsets in units, by the part's own numbering."""
        offsets = np.empty(len(self.ranking), np.int64)
        offsets[self.ranking] = self.buffers[:, kernel.FOUND_AT]
        return offsets


def _twins(shapes: Array) -> list[int]:
    """For each buffer the one before it that has the same sections and size, or -1. Exchanging the two changes nothing,
    so only one sequence of them is searched."""
    latest: dict[tuple[int, ...], int] = {}
    twins = []
    for index, shape in enumerate(map(tuple, shapes.tolist())):
        twins.append(latest.get(shape, -1))
        latest[shape] = index
    return twins
