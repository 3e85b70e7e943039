"""From save sets to states, for one goal: solve the integer program for the instants of highest memory known so far,
turn its save set into states, repair and polish them, add the instant at which memory is highest now, and repeat."""

from __future__ import annotations

import numpy as np

from roam_lab.rewrite.explorer import Explorer, State
from roam_lab.rewrite.save_set import Instant, SaveSet, applied, fastest_set, instant_of, smallest_set
from roam_lab.rewrite.segments import handed_on, segments
from roam_lab.rewrite.sweep import polish, reach
from roam_lab.rewrite.tape import DROP, HOLD

ROUNDS = 3
SEGMENTS = (1, 2, 3)
NEAR = 1.003
"""A state whose peak (or time) is at most this many times the integer program's is good enough."""
FAR = 1.5
"""Only states whose peak is at most this many times the target are repaired."""
EFFORT = 5_000
"""After this many evaluated states no further guard is tried."""
REPAIR = 1_000
"""States that one repair may evaluate."""
ALMOST = 0.995
"""An instant that holds at least this fraction of the peak counts as one at the peak."""
WAYS = ((HOLD, HOLD), (HOLD, DROP))
"""What is tried for the gaps of storages that are not saved: (value where the producer runs as an op of its own, value
where it can run inside a fused op)."""


def aim_bytes(explorer: Explorer, target: int, start: State) -> None:
    """Look for the fastest state with a peak of at most `target` bytes; all states met go to the explorer's front."""
    begin = explorer.see(start)
    first, end, least = first_instant(explorer, start), explorer.left - EFFORT, float("inf")
    for saved in guards(explorer):
        if explorer.left < end:
            return
        instants = [first]
        for _ in range(ROUNDS):
            found = fastest_set(explorer.problem, instants, target, saved)
            if found is None or explorer.left <= 0:
                break
            least = min(least, begin.us + found.us)
            hot = _expanded(explorer, start, found, target)
            best = explorer.front.within(target)
            if best is not None and explorer.front.us[best] <= NEAR * least:
                return
            if hot is None or _known(hot, instants):
                break
            instants.append(hot)


def aim_time(explorer: Explorer, us: float, start: State) -> int:
    """Look for the state of least peak that takes at most `us`. Returns a lower bound on that peak, in bytes: 0 where
    none is known.

    Copies take more time than the program says where one is made twice; the next round then asks for less. Nothing is
    proven where a fused op takes less time than the sum of its parts: a copy may then cost nothing inside another op.
    """
    begin = explorer.see(start)
    first = first_instant(explorer, start)
    bound, aim, end = 0, begin.peak, explorer.left - EFFORT
    for saved in guards(explorer):
        if explorer.left < end:
            break
        instants, allowed = [first], us - begin.us
        for number in range(ROUNDS):
            found = smallest_set(explorer.problem, instants, allowed, begin.peak, saved) if allowed > 0 else None
            if found is None or explorer.left <= 0:
                break
            if number == 0 and not saved and first.exact and explorer.problem.share >= 1:
                bound = int(found.bound) - found.slack
            hot = _expanded(explorer, start, found, found.bytes)
            aim = min(aim, found.bytes)
            best = explorer.front.at_most(us)
            if best is not None and explorer.front.peaks[best] <= NEAR * aim:
                return bound
            if hot is not None and not _known(hot, instants):
                instants.append(hot)
                continue
            reached = explorer.front.within(found.bytes)
            over = 0.0 if reached is None else explorer.front.us[reached] - us
            if over <= 1e-3 * us:
                break
            allowed -= over
    return bound


def guards(explorer: Explorer) -> tuple[frozenset[int], ...]:
    """Sets of storages to be saved whatever that costs, which are tried in turn: none; the inputs of every repeated
    block of the model; those of every second block; those of every third.

    Without such a set, the cheapest solution for one instant may recompute everything from the start of the model, and
    all of that is then in memory at another instant.
    """
    found: list[frozenset[int]] = [frozenset()]
    for level in explorer.roles.levels:
        for length in SEGMENTS:
            saved = handed_on(explorer.problem, segments(explorer.problem, level, length))
            if saved not in found:
                found.append(saved)
    return tuple(found)


def first_instant(explorer: Explorer, start: State) -> Instant:
    """The instant at which the state `start` holds the most bytes; or one that holds almost as many (ALMOST) and whose
    needs no rewriting changes (`Instant.exact`)."""
    hottest = explorer.see(start).hottest
    curve = explorer.trace.curve[: explorer.trace.found[0]]
    hot = np.flatnonzero(curve >= ALMOST * curve[hottest])
    for item in hot[np.argsort(-curve[hot], kind="stable")]:
        instant = instant_of(explorer, int(item))
        if instant.exact:
            return instant
    return instant_of(explorer, hottest)


def _expanded(explorer: Explorer, start: State, found: SaveSet, target: int) -> Instant | None:
    """Turn the set into states in all WAYS, repair them, and polish the best. Returns the
    instant of the peak of the lowest of these states, before repairs; None where that peak is at most `target`."""
    hottest: tuple[int, Instant] | None = None
    best: tuple[bool, float, State, int] | None = None
    for ways in WAYS:
        state = applied(explorer, start, found, *ways)
        if not explorer.is_new(state):
            continue
        seen = explorer.see(state, target)
        if not seen.possible:
            continue
        if hottest is None or seen.peak < hottest[0]:
            hottest = (seen.peak, instant_of(explorer, seen.hottest))
        if seen.peak > FAR * target:
            continue
        state, seen = reach(explorer, state, target, REPAIR)
        rank = (seen.peak > target, seen.us)
        if best is None or rank < best[:2]:
            best = (*rank, state, seen.peak)
    if best is not None:
        polish(explorer, best[2], max(target, best[3]))
    return None if hottest is None or hottest[0] <= target else hottest[1]


def _known(instant: Instant, instants: list[Instant]) -> bool:
    return any(instant.instruction == other.instruction and instant.main == other.main for other in instants)
