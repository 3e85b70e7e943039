"""From save sets to states: the set for one goal, expanded, its other hot instants added, repaired and polished."""

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
"""How many times what the program says a peak or a time may be to be good enough."""
FAR = 1.5
"""How many times its target a state may be above it to be repaired."""
EFFORT = 5_000
"""States that may be evaluated before no further guard is tried."""
REPAIR = 1_000
"""States that one repair may evaluate."""
ALMOST = 0.995
"""Of the peak."""
WAYS = ((HOLD, HOLD), (HOLD, DROP))
"""What becomes of a value that is not saved: made by an op of its own, and by one that can be fused."""


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

    What copies take turns out to be more than the program says where one is made twice: the next round asks for less.
    Nothing is proven where a fused op takes less than its parts: a copy may then cost nothing inside another op.
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
    """What to save whatever it costs, to be tried in turn: nothing; what every block, every second and every third one
    is handed.

    A set of one instant may make all again from the start of the model, which then has to be held at another.
    """
    found: list[frozenset[int]] = [frozenset()]
    for level in explorer.roles.levels:
        for length in SEGMENTS:
            saved = handed_on(explorer.problem, segments(explorer.problem, level, length))
            if saved not in found:
                found.append(saved)
    return tuple(found)


def first_instant(explorer: Explorer, start: State) -> Instant:
    """The hottest instant of the start; if one is almost as hot whose needs no rewriting changes, that one."""
    hottest = explorer.see(start).hottest
    curve = explorer.trace.curve[: explorer.trace.found[0]]
    hot = np.flatnonzero(curve >= ALMOST * curve[hottest])
    for item in hot[np.argsort(-curve[hot], kind="stable")]:
        instant = instant_of(explorer, int(item))
        if instant.exact:
            return instant
    return instant_of(explorer, hottest)


def _expanded(explorer: Explorer, start: State, found: SaveSet, target: int) -> Instant | None:
    """Expand the set in all new ways, repair them, polish the best; the hottest instant above `target` before that."""
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
