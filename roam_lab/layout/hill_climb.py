"""Hill climbing over the sequence in which buffers are placed, as TVM does it."""

from __future__ import annotations

import random
import time

import numpy as np
from numpy.typing import NDArray

from roam_lab.ir import Layout, Lifetime, lifetimes_curve
from roam_lab.layout.packing.field import Array, Field
from roam_lab.registry import Parameter, strategy

_DRAWS = 100
"""How many draws of a second-level neighbour may fail before a first-level one is taken."""


@strategy(
    "layout",
    "hill_climb",
    source="TVM usmp/algo/hill_climb.cc",
    parameters=(
        Parameter("tries", int, 500, "how many sequences are tried", low=1),
        Parameter("seed", int, 0, "of the random draws", low=0),
        Parameter("time_limit", float, None, "seconds until the last sequence begins (None: by tries)", low=0),
        Parameter("capacity", int, None, "stop at an arena of this many bytes or fewer (None: the least)", low=0),
    ),
)
def hill_climb(
    lifetimes: tuple[Lifetime, ...],
    tries: int = 500,
    seed: int = 0,
    time_limit: float | None = None,
    capacity: int | None = None,
) -> Layout:
    """Hill climbing (TVM USMP): first fit by decreasing size, then 500 times two buffers swap places in the sequence.

    A buffer that ends at the top of the arena is drawn. One that lives with it and was placed before it swaps places
    with a neighbour: three times out of four one of the second level (it lives with a neighbour of the drawn one and
    was placed before that neighbour), else one of the first. The new sequence is kept if the arena is smaller, or, in
    the first tries, with a small probability. TVM returns the last sequence kept; this, the best of all.
    """
    deadline = None if time_limit is None else time.perf_counter() + time_limit
    target = max(capacity or 0, int(lifetimes_curve(lifetimes).max(initial=0)))
    field, draw = Field.of(lifetimes), random.Random(seed)
    conflicts = field.last - np.searchsorted(np.sort(field.ends), field.starts, "right") - 1
    sequence = np.lexsort((-field.storages, -conflicts, -field.sizes))
    kept = best = field.place_all(sequence, first_fit=True)
    assert kept is not None
    assert best is not None
    for attempt in range(1, tries):
        if _top(field, best) <= target:
            break
        swap = _swap(field, kept, sequence, conflicts, draw)
        if swap is None:
            continue
        sequence[swap] = sequence[swap[::-1]]
        tried = field.place_all(sequence, True, deadline)
        if tried is None:
            break
        now, before = _top(field, tried), _top(field, kept)
        if now < before or draw.randrange(100) < 50 * (now - before) // now // attempt:
            kept = tried
            best = min(best, tried, key=lambda offsets: _top(field, offsets))
        else:
            sequence[swap] = sequence[swap[::-1]]
    return field.layout(best)


def _top(field: Field, offsets: Array) -> int:
    return int((offsets + field.sizes).max(initial=0))


def _swap(field: Field, offsets: Array, sequence: Array, conflicts: Array, draw: random.Random) -> list[int] | None:
    """Indices of the two buffers in the sequence that change places; None if the topmost buffer that was drawn was
    placed before all of its neighbours."""
    highs = offsets + field.sizes
    place = np.empty_like(sequence)
    place[sequence] = np.arange(len(sequence))
    topmost = draw.choice(np.flatnonzero(highs == highs.max()).tolist())
    neighbours = _neighbours(field, topmost)
    first_level = neighbours[place[neighbours] < place[topmost]].tolist()
    if not first_level:
        return None
    one = draw.choice(first_level)
    weights = np.cumsum(conflicts[neighbours]).tolist()
    for _ in range(_DRAWS):
        if draw.randrange(100) <= 25:
            other = draw.choice(first_level)
        else:  # by weights, so that each pair of a neighbour and its neighbour is drawn alike
            between = draw.choices(neighbours.tolist(), cum_weights=weights)[0]
            other = draw.choice(_neighbours(field, between).tolist())
            if place[other] >= place[between]:
                continue
        if other != one:
            return [int(place[one]), int(place[other])]
    return None


def _neighbours(field: Field, buffer: int) -> NDArray[np.intp]:
    """The buffers that live while `buffer` does, without `buffer`."""
    last = int(field.last[buffer])
    together = field.ends[:last] > field.starts[buffer]
    together[buffer] = False
    return np.flatnonzero(together)
