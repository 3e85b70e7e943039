"""The layout strategy `boxing`, for very many buffers: boxing (Buchsbaum et al. 2003), then mending."""

from __future__ import annotations

import time

import numpy as np

from roam_lab.ir import Layout, Lifetime, lifetimes_curve
from roam_lab.layout.llfb import llfb
from roam_lab.layout.packing.boxes import boxed_offsets
from roam_lab.layout.packing.field import Field
from roam_lab.layout.packing.mend import mended
from roam_lab.registry import Parameter, strategy

EPSILONS = (1 / 2, 1 / 4)
"""The paper's epsilon, tried in turn: sizes in one box differ by at most this factor above 1, and about this part of a
box may stay empty."""


@strategy(
    "layout",
    "boxing",
    source="Buchsbaum et al., OPT versus LOAD in dynamic storage allocation, STOC 2003; idealloc (arXiv 2504.04874)",
    parameters=(
        Parameter(
            "mending", int, 300, "how often all buffers may be placed anew after boxing (0: boxing alone)", low=0
        ),
        Parameter("seed", int, 0, "of mending", low=0),
        Parameter("time_limit", float, 60.0, "seconds after which the best found is kept", low=0),
        Parameter("capacity", int, None, "stop at an arena of this many bytes or fewer (None: the least)", low=0),
    ),
)
def boxing(
    lifetimes: tuple[Lifetime, ...],
    mending: int = 300,
    seed: int = 0,
    time_limit: float | None = 60.0,
    capacity: int | None = None,
) -> Layout:
    """Boxing (Buchsbaum, idealloc): like sizes into boxes of one size, unboxed, squeezed by best fit, then mended.

    | step | what happens                                                                                         |
    |------|------------------------------------------------------------------------------------------------------|
    | 1    | small buffers go into boxes, these and large buffers into boxes of one size, which pack without loss |
    | 2    | as idealloc does, buffers are squeezed: by boxed offset, each into the smallest gap that fits        |
    | 3    | the better of two measures of likeness is mended (packing/mend.py), which idealloc does not          |

    Deviates from the paper: its size of a box is below one byte on real instances (a fifth power of epsilon over a
    squared logarithm), so two sizes are used, epsilon times the largest buffer and one over epsilon times it; sizes
    round up to the largest of their class; critical moments are medians. Hence its bound does not hold. With
    `mending=0` it is the rival, seldom better than greedy by size; what mending adds is ours, and is most of it.
    """
    began = time.perf_counter()
    deadline = None if time_limit is None else began + time_limit
    boxed_by = None if time_limit is None or not mending else began + time_limit / 4
    target = max(capacity or 0, int(lifetimes_curve(lifetimes).max(initial=0)))
    field = Field.of(lifetimes)
    number = {storage: at for at, storage in enumerate(field.storages.tolist())}
    best: Layout | None = None
    for epsilon in EPSILONS:
        loose = boxed_offsets(lifetimes, epsilon)
        upwards = sorted(lifetimes, key=lambda life: (loose[life], -life.bytes, life.start, life.storage))
        sequence = np.array([number[life.storage] for life in upwards], np.int64)
        offsets = field.place_all(sequence, first_fit=False, deadline=boxed_by or deadline)
        if offsets is None:
            break  # mending keeps three quarters of the time
        if best is None or (offsets + field.sizes).max(initial=0) < best.arena_bytes:
            best = field.layout(offsets)
        if best.arena_bytes <= target:
            return best
    if best is None:
        best = llfb(lifetimes)
    return mended(lifetimes, best, mending * len(lifetimes), deadline, seed, target)
