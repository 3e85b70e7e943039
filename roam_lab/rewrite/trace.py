"""The record of a run on paper: items, instances of storages, and the room that the run works in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from roam_lab.rewrite.tape import Ints, Problem

GROWTH = 6
"""How many times as many ops as in the graph a rewriting may run."""


class Trace(NamedTuple):
    """Where the evaluator works and leaves what it found. An item is what runs as one op of the rewritten graph; an
    instance is one life of a storage, from the item that makes it to the last one that uses it.

    `found`: how many items and instances. `item_main`: whether the item is the instruction itself and not a copy made
    before it. `made_by`: the op of a made instance; `place_of`: the instance whose place it takes, or -1.
    """

    found: NDArray[np.int64]
    item_instruction: Ints
    item_main: NDArray[np.int8]
    item_us: NDArray[np.float64]
    scratch: NDArray[np.int64]
    ops_at: Ints
    ops: Ints
    reads_at: Ints
    reads: Ints  # instances
    makes_at: Ints
    makes: Ints  # instances
    instance_storage: Ints
    birth: Ints
    last: Ints
    made_by: Ints
    place_of: Ints
    taken: Ints
    curve: NDArray[np.int64]
    # while it runs
    live: Ints
    pins: Ints
    gap: Ints
    next_gap: Ints
    next_at: Ints
    op_mark: Ints
    read_mark: Ints
    inner_mark: Ints
    inner_last: Ints
    first_op: Ints  # of a frame
    end_op: Ints
    first_read: Ints
    end_read: Ints
    frame_mark: Ints
    op_stack: Ints
    read_stack: Ints


def new_trace(problem: Problem) -> Trace:
    """Room for any state of the problem."""
    tape = problem.tape
    ops, storages = len(tape.op_us), len(tape.size)
    most = GROWTH * ops + 16
    touches = GROWTH * (len(tape.reads) + len(tape.makes)) + 16

    def ints(count: int) -> Ints:
        return np.zeros(count, dtype=np.int32)

    return Trace(
        np.zeros(2, dtype=np.int64), ints(most), np.zeros(most, dtype=np.int8), np.zeros(most),
        np.zeros(most, dtype=np.int64), ints(most + 1), ints(most), ints(most + 1), ints(touches), ints(most + 1),
        ints(touches), ints(touches), ints(touches), ints(touches), ints(touches), ints(touches), ints(touches),
        np.zeros(most + 1, dtype=np.int64),
        ints(storages), ints(storages), ints(storages), ints(storages), ints(storages), ints(ops), ints(storages),
        ints(storages), ints(storages), ints(ops), ints(ops), ints(ops), ints(ops), ints(ops), ints(4 * ops + 64),
        ints(4 * len(tape.reads) + 64),
    )  # fmt: skip
