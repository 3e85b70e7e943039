"""From save sets to states: the set for one goal, expanded, its other hot instants added, repaired and polished."""

from __future__ import annotations

from roam_lab.rewrite.explorer import Explorer, State
from roam_lab.rewrite.save_set import Instant, SaveSet, applied, fastest_set, instant_of, smallest_set
from roam_lab.rewrite.sweep import polish, reach
from roam_lab.rewrite.tape import DROP, HOLD

ROUNDS = 4
WAYS = ((HOLD, HOLD), (HOLD, DROP))
"""What becomes of a value that is not saved: made by an op of its own, and by one that can be fused."""


def aim_bytes(explorer: Explorer, target: int, start: State) -> None:
    """Look for the fastest state with a peak of at most `target` bytes; all states met go to the explorer's front."""
    instants = [instant_of(explorer, explorer.see(start).hottest)]
    for _ in range(ROUNDS):
        found = fastest_set(explorer.problem, instants, target)
        if found is None or explorer.left <= 0:
            return
        hot = _expanded(explorer, start, found, target)
        if hot is None or _known(hot, instants):
            return
        instants.append(hot)


def aim_time(explorer: Explorer, us: float, start: State) -> None:
    """Look for the state of least peak that takes at most `us`.

    What copies take turns out to be more than the program says where one is made twice: the next round asks for less.
    """
    begin = explorer.see(start)
    instants = [instant_of(explorer, begin.hottest)]
    allowed = us - begin.us
    for _ in range(ROUNDS):
        found = smallest_set(explorer.problem, instants, allowed, begin.peak) if allowed > 0 else None
        if found is None or explorer.left <= 0:
            return
        hot = _expanded(explorer, start, found, found.bytes)
        if hot is not None and not _known(hot, instants):
            instants.append(hot)
            continue
        reached = explorer.front.within(found.bytes)
        over = 0.0 if reached is None else explorer.front.us[reached] - us
        if over <= 1e-3 * us:
            return
        allowed -= over


def _expanded(explorer: Explorer, start: State, found: SaveSet, target: int) -> Instant | None:
    """Expand the set in all ways, repair them, polish the best; the hottest instant above `target` before repair."""
    hottest: tuple[int, Instant] | None = None
    best: tuple[bool, float, State, int] | None = None
    for ways in WAYS:
        state = applied(explorer, start, found, *ways)
        seen = explorer.see(state, target)
        if seen.possible and (hottest is None or seen.peak < hottest[0]):
            hottest = (seen.peak, instant_of(explorer, seen.hottest))
        state, seen = reach(explorer, state, target)
        rank = (seen.peak > target, seen.us)
        if best is None or rank < best[:2]:
            best = (*rank, state, seen.peak)
    if best is not None:
        polish(explorer, best[2], max(target, best[3]))
    return None if hottest is None or hottest[0] <= target else hottest[1]


def _known(instant: Instant, instants: list[Instant]) -> bool:
    return any(instant.instruction == other.instruction and instant.main == other.main for other in instants)
