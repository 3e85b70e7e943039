"""Greedy descent over states: a target of bytes falls step by step, and each time the cheapest gaps at the peak are
dropped until the target is met; and polishing, which takes back drops that are not needed."""

from __future__ import annotations

import numpy as np

from roam_lab.rewrite.evaluate import Cost
from roam_lab.rewrite.explorer import Explorer, State
from roam_lab.rewrite.tape import DROP, HOLD, KEEP, NEVER

FALL = 0.96
"""The factor from one target of the sweep to the next."""
ALIKE = 0.9
"""Once a gap is changed, the other gaps of its role are changed, too, as long as the gain of each is at least this
fraction of the first one's."""


def sweep(explorer: Explorer, state: State, floor: int = 0, fall: float = FALL) -> State:
    """Lower the target from the peak of `state` until no change helps or the peak is at most `floor` bytes. Returns the
    last state.

    Every state evaluated goes to the explorer's front.
    """
    seen = explorer.see(state)
    while explorer.left > 0 and seen.peak > floor:
        target = max(floor, int(seen.peak * fall))
        lower, met = reach(explorer, state, target)
        if met.peak >= seen.peak:
            break
        state, seen = lower, met
    return state


def reach(explorer: Explorer, state: State, target: int, effort: int = NEVER) -> tuple[State, Cost]:
    """Change gaps of `state` until its peak is at most `target` bytes, no change helps, or about `effort` evaluations
    are spent. Returns the last state and its cost."""
    state = state.copy()
    seen = explorer.see(state, target)
    end = max(0, explorer.left - effort)
    while seen.peak > target and explorer.left > end:
        groups = _by_role(explorer, seen.hottest)
        best = _best(explorer, state, seen, groups, target)
        if best is None:
            break
        gap, value, gain = best
        state[gap] = value
        seen = explorer.see(state, target)
        for other in groups[int(explorer.roles.of_gap[gap])]:
            if seen.peak <= target or explorer.left <= 0:
                break
            if state[other] == KEEP or (other != gap and state[other] != value):
                before = int(state[other])
                state[other] = value
                tried = explorer.see(state, target)
                if _gain(seen, tried) >= ALIKE * gain:
                    seen = tried
                else:
                    state[other] = before
    return state, explorer.see(state, target)


def _by_role(explorer: Explorer, item: int) -> dict[int, list[int]]:
    """Role -> the free gaps held through `item` (see `Explorer.held_through`), by storage."""
    groups: dict[int, list[int]] = {}
    for gap in explorer.held_through(item).tolist():
        groups.setdefault(int(explorer.roles.of_gap[gap]), []).append(gap)
    return groups


def _gain(before: Cost, after: Cost) -> float:
    """How much of `Cost.excess` is removed per us added (added time counts as at least 0.001 us); -1 if none is."""
    removed = before.excess - after.excess
    if removed <= 0:
        return -1.0
    return removed / max(after.us - before.us, 1e-3)


def _best(
    explorer: Explorer, state: State, seen: Cost, groups: dict[int, list[int]], target: int
) -> tuple[int, int, float] | None:
    """(gap, new value, gain) of the change with the greatest gain, among the first and last gap of every role. Where no
    change of a single gap helps, the result of `_whole_roles`."""
    best: tuple[int, int, float] | None = None
    for gaps in groups.values():
        for gap in dict.fromkeys((gaps[0], gaps[-1])):
            before = int(state[gap])
            for value in (DROP, HOLD):
                if value == before or (before == DROP and value == HOLD):
                    continue
                state[gap] = value
                gain = _gain(seen, explorer.see(state, target))
                if gain > 0 and (best is None or gain > best[2]):
                    best = (gap, value, gain)
            state[gap] = before
    return best if best is not None else _whole_roles(explorer, state, seen, groups, target)


def _whole_roles(
    explorer: Explorer, state: State, seen: Cost, groups: dict[int, list[int]], target: int
) -> tuple[int, int, float] | None:
    """Change all gaps of the best role at once, in place. Returns (its first gap, new value, gain); None where that
    does not help either."""
    best: tuple[list[int], int, float] | None = None
    for gaps in groups.values():
        if len(gaps) < 2:
            continue
        before = state[gaps].copy()
        for value in (DROP, HOLD):
            state[gaps] = value
            gain = _gain(seen, explorer.see(state, target))
            if gain > 0 and (best is None or gain > best[2]):
                best = (gaps, value, gain)
        state[gaps] = before
    if best is None:
        return None
    state[best[0]] = best[1]
    return best[0][0], best[1], best[2]


def polish(explorer: Explorer, state: State, target: int, passes: int = 2) -> tuple[State, Cost]:
    """Try other values for the gaps of all storages whose ops run twice, and keep each change that takes less time with
    a peak of at most `target` bytes. Returns the last state and its cost.

    All gaps of a role are tried at once, then its first and its last; its others only where one of those helped.
    """
    state = state.copy()
    seen = explorer.see(state, target)
    for _ in range(passes):
        before = seen
        for gaps in _of_copies(explorer):
            for value in (KEEP, DROP, HOLD):
                ends = dict.fromkeys((gaps[0], gaps[-1]))
                helped = False
                for part in [gaps, *([gap] for gap in ends)] if len(gaps) > 1 else [gaps]:
                    seen, better = _kept_if_better(explorer, state, seen, part, value, target)
                    helped = helped or better
                for gap in gaps if helped else ():
                    seen, _ = _kept_if_better(explorer, state, seen, [gap], value, target)
        if seen.us >= before.us - 1e-6 or explorer.left <= 0:
            break
        explorer.see(state, target)
    return state, explorer.see(state, target)


def _kept_if_better(
    explorer: Explorer, state: State, seen: Cost, gaps: list[int], value: int, target: int
) -> tuple[Cost, bool]:
    """Give `gaps` the value `value`, in place, unless that takes more time or a peak above `target`. Returns the cost
    of the state afterwards, and whether it was changed."""
    before = state[gaps]
    if explorer.left <= 0 or (before == value).all():
        return seen, False
    state[gaps] = value
    tried = explorer.see(state, target)
    faster = tried.us < seen.us - 1e-6 or (tried.us <= seen.us and tried.excess < seen.excess)
    if faster and tried.peak <= max(target, seen.peak):
        return tried, True
    state[gaps] = before
    return seen, False


def _of_copies(explorer: Explorer) -> list[list[int]]:
    """For the ops that ran more than once in the last run, the free gaps of their results, one list a role, the most
    expensive ops first."""
    tape, of_gap = explorer.problem.tape, explorer.roles.of_gap
    again = explorer.again()
    groups: dict[int, list[int]] = {}
    for op in again[np.argsort(-tape.op_us[again], kind="stable")]:
        for storage in tape.makes[tape.makes_at[op] : tape.makes_at[op + 1]]:
            for gap in range(tape.gap_at[storage], tape.gap_at[storage + 1]):
                if explorer.is_free[gap]:
                    groups.setdefault(int(of_gap[gap]), []).append(gap)
    return [sorted(gaps) for gaps in groups.values()]
