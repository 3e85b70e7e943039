"""The exact search: every buffer at its least offset, offsets never decreasing along a branch."""

from __future__ import annotations

import time

from roam_lab.ir import Layout, Lifetime, lifetimes_curve
from roam_lab.layout.best_fit import best_fit
from roam_lab.layout.canonical_search.capacity import Effort, lowered
from roam_lab.registry import Parameter, strategy

WORK = 30_000_000_000
"""Sections of buffers looked at: about 45 s of search."""

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

    In any layout buffers can be let down, by ascending offset, until each lies on another or on the ground; so it is
    enough to place, one after the other, buffers at the least offset that those below leave them, offsets never
    decreasing, ties by a ranking. A branch dies when, in some section (a maximal set of buffers that live together),
    the unplaced buffers stacked by the sequence of their least offsets reach above the capacity; when a buffer would
    lie so high that another could still lie below it; or when the same rest was searched in vain before. Where no
    unplaced buffer crosses any more, the sides are searched one by one.

    A search is short, and the next starts from another ranking. Without `capacity` the live peak is aimed at, and
    limits above it in between. Stops when the aim is met, when the lowest is proved to be found, after `nodes` nodes
    or a fixed amount of work, or after `time_limit` seconds. Parts of more than 5,000 buffers stay as best fit leaves
    them.

    Ours are the stacked bound, the memory of dead ends, the drawn rankings and those that learn from failures; the rest
    is MiniMalloc's.
    """
    deadline = None if time_limit is None else time.perf_counter() + time_limit
    known = best_fit(lifetimes)
    goal = max(capacity or 0, int(lifetimes_curve(lifetimes).max(initial=0)))
    if known.arena_bytes <= goal:
        return known
    return lowered(lifetimes, known, goal, Effort(nodes, WORK, deadline), seed, rungs=capacity is None)
