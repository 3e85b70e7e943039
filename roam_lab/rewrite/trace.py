"""The trace: the record of a state's run on paper, and the scratch arrays that the run works in.

An *item* is what runs as one op of the rewritten graph. An *instance* is one life of a storage, from the item that
makes it to the last one that uses it; a storage that is made again has several.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from roam_lab.rewrite.tape import Ints, Problem

GROWTH = 6
"""A rewriting may run at most this many times as many ops as the graph has."""


class Trace(NamedTuple):
    """The arrays, as long as the longest run allowed; the evaluator fills their beginnings. Lists of lists are flat, as
    in Tape.

    `found`: the number of items and of instances. For each item: `item_instruction`, the instruction that it belongs
    to; `item_main`, whether it is the instruction itself and not an op that runs again just before it; `item_us`, its
    time; `scratch`, bytes of values that pass inside it; `ops`, `reads`, `makes`. For each instance:
    `instance_storage`; `birth` and `last`, its first and last item; `made_by`, the op that makes it; `place_of`, the
    instance whose memory it takes, or -1; `taken`, whether another takes its memory. `curve`: live bytes at each item.
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
    """A trace with room for the run of any state of the problem."""
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
