"""The layout strategy `auto`: best fit, then improved as far as the arena is above the live peak."""

from __future__ import annotations

import time

from roam_lab.ir import Layout, Lifetime, lifetimes_curve
from roam_lab.layout.best_fit import SORTINGS, best_fit, place
from roam_lab.layout.canonical_search.capacity import Effort, lowered
from roam_lab.layout.packing.mend import mended
from roam_lab.layout.squeeze import squeezed
from roam_lab.registry import Parameter, strategy
from roam_lab.solvers import compiled

CLOSE = 1 / 2048
"""An arena above the live peak by less than this part of it is good enough: it is not worth more time."""

PLACEMENTS = 8_000
"""How many buffers squeezing may place in all; takes a fifth of a second."""

MENDING, WORK, NODES = 2_000_000, 20_000_000_000, 50_000_000
"""Limits for a hard instance: buffers that mending may place (some 3 s), sections and nodes that the exact search may
look at (some 30 s)."""

MANY = 10_000
"""From this many buffers on best fit takes seconds; under a time limit only its first sorting is tried."""


@strategy(
    "layout",
    "auto",
    source="best fit, which suffices on training steps; MiniMalloc (ASPLOS 2023) and idealloc for the rest",
    parameters=(
        Parameter("capacity", int, None, "bytes that the arena may take; none: as few as can be", low=0),
        Parameter("time_limit", float, None, "seconds; none: until the effort is spent", low=0),
        Parameter("seed", int, 0, "of the random draws", low=0),
        Parameter("close", float, CLOSE, "part of the live peak that the arena may be above it", low=0),
    ),
)
def auto(
    lifetimes: tuple[Lifetime, ...],
    capacity: int | None = None,
    time_limit: float | None = None,
    seed: int = 0,
    close: float = CLOSE,
) -> Layout:
    """Best fit; where its arena is above the live peak it is improved by squeezing, mending and an exact search.

    | the arena so far is above the live peak by | what happens next                                              |
    |--------------------------------------------|----------------------------------------------------------------|
    | less than `close` (or within `capacity`)   | it is kept                                                     |
    | more, after best fit                       | squeezing: what does not fit under a limit is placed earlier   |
    | more, after squeezing                      | mending (packing/mend.py), then climbing (packing/climb.py)    |
    | more, after mending                        | `canonical`: aimed at `capacity`, or at the live peak and the  |
    |                                            | limits above; about 30 s, parts of up to 5,000 buffers         |

    Sizes in bytes, `time_limit` in seconds. Without a limit the effort is counted, so that the result is the same on
    every machine. No row makes the arena larger, so no result is worse than best fit's.
    """
    deadline = None if time_limit is None else time.perf_counter() + time_limit
    peak = int(lifetimes_curve(lifetimes).max(initial=0))
    asked = capacity is not None and capacity >= peak
    goal, enough = (capacity, capacity) if capacity is not None and asked else (peak, peak + int(peak * close))
    if close > CLOSE:  # then the search need not aim at the last byte, either
        goal = enough
    hurried = deadline is not None and len(lifetimes) > MANY
    quick = place(sorted(lifetimes, key=SORTINGS["decreasing area"])) if hurried else best_fit(lifetimes)
    assert isinstance(quick, Layout)  # there was no limit
    layout = quick
    if layout.arena_bytes > enough and not hurried:
        layout = squeezed(lifetimes, layout, PLACEMENTS)
    if layout.arena_bytes > enough and not _late(deadline):
        effort = MENDING if compiled.available() else MENDING // 100
        half = None if deadline is None else (time.perf_counter() + deadline) / 2
        layout = mended(lifetimes, layout, effort, half, seed, goal)
    if layout.arena_bytes > enough and not _late(deadline):
        layout = lowered(lifetimes, layout, goal, Effort(NODES, WORK, deadline), seed, rungs=not asked)
    return layout


def _late(deadline: float | None) -> bool:
    return deadline is not None and time.perf_counter() >= deadline
