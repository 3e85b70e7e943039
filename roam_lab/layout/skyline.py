"""The layout strategy `skyline`: best fit on the skyline by several rules for which buffer goes first, then
climbing."""

from __future__ import annotations

import time

from roam_lab.ir import Layout, Lifetime
from roam_lab.layout.llfb import llfb
from roam_lab.layout.packing.climb import climbed
from roam_lab.registry import Parameter, strategy


@strategy(
    "layout",
    "skyline",
    source="Burke, Kendall and Whitwell 2004; Imahori and Yagiura 2010, O(n log n) best fit; lifetimes as the x axis",
    parameters=(
        Parameter("tries", int, 300, "how many times all buffers are laid (8: the rules alone)", low=1),
        Parameter("seed", int, 0, "of the random moves", low=0),
        Parameter("time_limit", float, 30.0, "seconds after which the best found is kept", low=0),
        Parameter("capacity", int, None, "stop at an arena of this many bytes or fewer (None: the least)", low=0),
    ),
)
def skyline(
    lifetimes: tuple[Lifetime, ...],
    tries: int = 300,
    seed: int = 0,
    time_limit: float | None = 30.0,
    capacity: int | None = None,
) -> Layout:
    """Best fit on the skyline: the buffer that fits its lowest stretch best, by eight rules, then by climbing.

    Of the buffers that live within the lowest stretch goes first: the one of the longest lifetime, the most bytes, the
    largest area or the earliest start; and each again where a buffer that begins or ends with the stretch goes
    before others (it leaves no narrower stretch beside it; Burke's "touching a wall"). The four best of these eight
    sequences then climb: some buffers move to random places in the sequence, all are placed anew, and the sequence is
    kept if the arena is no larger.

    In strip packing a rectangle may also move sideways; here that is its place in time, which is given.
    """
    deadline = None if time_limit is None else time.perf_counter() + time_limit
    return climbed(lifetimes, llfb(lifetimes), tries * len(lifetimes), deadline, seed, capacity or 0)
