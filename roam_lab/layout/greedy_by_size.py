"""The layout strategy `greedy_by_size`, as in TFLite, TVM and ExecuTorch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from roam_lab.ir import Layout, Lifetime
from roam_lab.layout.packing.field import UNPLACED, Array, Field
from roam_lab.registry import Parameter, strategy

AS_IN = ("tflite", "tvm", "executorch")


@strategy(
    "layout",
    "greedy_by_size",
    source="arXiv 2001.03288 (TFLite); TVM usmp/algo/greedy.cc; ExecuTorch exir/memory_planning.py, greedy",
    parameters=(Parameter("as_in", str, "tflite", "whose rule for where a buffer goes", choices=AS_IN),),
)
def greedy_by_size(lifetimes: tuple[Lifetime, ...], as_in: str = "tflite") -> Layout:
    """Greedy by size: by decreasing size, each into the smallest gap between buffers alive with it.

    | `as_in`    | where a buffer goes                                                                              |
    |------------|--------------------------------------------------------------------------------------------------|
    | tflite     | the smallest gap that fits, else above all that live with it                                     |
    | tvm        | above all that live with it: gaps are not looked for                                             |
    | executorch | at the low end of the first shared object that is free while it lives; else of the first in      |
    |            | which it fits above what lives with it; else it begins a shared object above all, of its size    |

    Buffers of one size: tvm takes those with more conflicts first; then by start, end and index (the three themselves
    go by graph order, name, and the order of a Python set).
    """
    field = Field.of(lifetimes)
    first = np.zeros_like(field.sizes)
    if as_in == "tvm":  # those with fewest that have ended before, or begin after
        first = np.searchsorted(np.sort(field.ends), field.starts, "right") - field.last
    sequence = np.lexsort((field.storages, field.ends, field.starts, first, -field.sizes))
    offsets = np.full(len(sequence), UNPLACED)
    if as_in == "tflite":
        field.place(sequence, offsets, first_fit=False)
    elif as_in == "tvm":
        _above_all(field, sequence, offsets)
    else:
        _in_shared_objects(field, sequence, offsets)
    return field.layout(offsets)


def _together(field: Field, newcomer: int, offsets: Array) -> NDArray[np.intp]:
    """Placed buffers that live while `newcomer` does."""
    last = field.last[newcomer]
    placed = offsets[:last] != UNPLACED
    return np.flatnonzero(placed & (field.ends[:last] > field.starts[newcomer]))


def _above_all(field: Field, sequence: Array, offsets: Array) -> None:
    for newcomer in sequence:
        others = _together(field, newcomer, offsets)
        offsets[newcomer] = (offsets[others] + field.sizes[others]).max(initial=0)


def _in_shared_objects(field: Field, sequence: Array, offsets: Array) -> None:
    owners = np.zeros(len(sequence), np.int64)
    lows, sizes = np.empty(len(sequence), np.int64), np.empty(len(sequence), np.int64)  # of the shared objects
    count, arena_bytes = 0, 0
    for newcomer in sequence:
        others = _together(field, newcomer, offsets)
        tops = np.zeros(count, np.int64)  # how far each shared object is taken while the newcomer lives
        np.maximum.at(tops, owners[others], offsets[others] + field.sizes[others] - lows[owners[others]])
        room = np.flatnonzero(tops == 0)
        if not len(room):
            room = np.flatnonzero(tops + field.sizes[newcomer] <= sizes[:count])
        if not len(room):
            lows[count], sizes[count] = arena_bytes, field.sizes[newcomer]
            arena_bytes += int(field.sizes[newcomer])
            tops, room, count = np.append(tops, 0), np.array([count]), count + 1
        owners[newcomer] = room[0]
        offsets[newcomer] = lows[room[0]] + tops[room[0]]
