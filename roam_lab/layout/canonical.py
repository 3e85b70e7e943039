"""The layout strategy `canonical`: exact search over canonical layouts, in which every buffer rests on another or on
the ground."""

from __future__ import annotations

import time

from roam_lab.ir import Layout, Lifetime, lifetimes_curve
from roam_lab.layout.best_fit import best_fit
from roam_lab.layout.canonical_search.capacity import Effort, lowered
from roam_lab.registry import Parameter, strategy

WORK = 30_000_000_000
"""How many sections of buffers the search may look at: about 45 s."""

CAPACITY = Parameter("capacity", int, None, "bytes that the arena may take; none: as few as can be", low=0)
TIME_LIMIT = Parameter("time_limit", float, None, "seconds; none: until the effort is spent", low=0)
NODES = Parameter("nodes", int, 50_000_000, "nodes of search trees that may be visited", low=0)
SEED = Parameter("seed", int, 0, "draws the rankings after the fixed ones")


@strategy(
    "layout",
    "canonical",
    source="MiniMalloc (ASPLOS 2023), canonical search",
    parameters=(CAPACITY, TIME_LIMIT, NODES, SEED),
)
def canonical(
    lifetimes: tuple[Lifetime, ...],
    capacity: int | None = None,
    time_limit: float | None = None,
    nodes: int = 50_000_000,
    seed: int = 0,
) -> Layout:
    """Exact depth-first search for a layout within `capacity` bytes, or for the lowest; best fit where it finds none.

    In any layout the buffers can be lowered, by ascending offset, until each lies on another or on the ground. So it is
    enough to place buffers one after the other, each at the least offset that those below leave it, such that offsets
    never decrease along a branch; ties go by a ranking of the buffers. A *section* is a maximal set of buffers that
    live together. A branch is pruned when the unplaced buffers of some section, stacked by ascending least offset,
    reach above the capacity; when a buffer would lie so high that another could still lie below it; or when the same
    set of unplaced buffers, at the same least offsets, was searched without success before. Where no unplaced buffer
    lives across some moment any more, the buffers before it and those after it are searched separately.

    Each search is short, and the next one starts from another ranking. Without `capacity` it aims at the live peak, and
    tries limits above it in between. It stops when the aim is met, when the least arena is proved to be found, after
    `nodes` nodes or a fixed amount of work, or after `time_limit` seconds. Independent parts of more than 5,000 buffers
    are left as best fit places them.

    The stacked bound, the memory of failed searches, the random rankings and those that learn from failures are ours;
    the rest is MiniMalloc's.
    """
    deadline = None if time_limit is None else time.perf_counter() + time_limit
    known = best_fit(lifetimes)
    goal = max(capacity or 0, int(lifetimes_curve(lifetimes).max(initial=0)))
    if known.arena_bytes <= goal:
        return known
    return lowered(lifetimes, known, goal, Effort(nodes, WORK, deadline), seed, rungs=capacity is None)
