"""Greedy descent: the memory target falls step by step, and the cheapest drops at the hottest instant meet it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from roam_lab.rewrite.explorer import Explorer, Seen, State
from roam_lab.rewrite.tape import DROP, HOLD, KEEP

FALL = 0.96
"""What the target is multiplied by from one step of the sweep to the next."""
ALIKE = 0.9
"""A sibling follows while it gives at least this part of what the first of its role gave for its time."""


def sweep(explorer: Explorer, state: State, floor: int = 0, fall: float = FALL) -> State:
    """Lower the target from the state's peak until nothing helps or `floor` bytes are met; the last state.

    Every state met goes to the explorer's front.
    """
    seen = explorer.see(state)
    while explorer.left > 0 and seen.peak > floor:
        target = max(floor, int(seen.peak * fall))
        lower, met = reach(explorer, state, target)
        if met.peak >= seen.peak:
            break
        state, seen = lower, met
    return state


def reach(explorer: Explorer, state: State, target: int) -> tuple[State, Seen]:
    """Bring the peak down to `target` bytes if that is found to be possible; the last state and what it costs."""
    state = state.copy()
    seen = explorer.see(state, target)
    while seen.peak > target and explorer.left > 0:
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
    """The free gaps held through `item`, those of one role together, in the order of their storages."""
    groups: dict[int, list[int]] = {}
    for gap in sorted(explorer.held_through(item).tolist()):
        groups.setdefault(int(explorer.roles.of_gap[gap]), []).append(gap)
    return groups


def _gain(before: Seen, after: Seen) -> float:
    """Excess removed per us added; more than any where no time is added."""
    removed = before.excess - after.excess
    if removed <= 0:
        return -1.0
    return removed / max(after.us - before.us, 1e-3)


def _best(
    explorer: Explorer, state: State, seen: Seen, groups: dict[int, list[int]], target: int
) -> tuple[int, int, float] | None:
    """The (gap, state, gain) that removes most excess per us, of the first and last gap of every role."""
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
    explorer: Explorer, state: State, seen: Seen, groups: dict[int, list[int]], target: int
) -> tuple[int, int, float] | None:
    """Where no single gap helps: all gaps of one role at once (state changes them already); None if that fails, too."""
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


def polish(explorer: Explorer, state: State, target: int, passes: int = 3) -> tuple[State, Seen]:
    """Try the other states of everything that runs twice; keep what takes less time with a peak of at most `target`."""
    state = state.copy()
    tape = explorer.problem.tape
    seen = explorer.see(state, target)
    for _ in range(passes):
        changed = False
        for gap in _of_copies(explorer, tape.makes_at, tape.makes, tape.gap_at):
            before = int(state[gap])
            for value in (KEEP, DROP, HOLD):
                if value == before or explorer.left <= 0:
                    continue
                state[gap] = value
                tried = explorer.see(state, target)
                better = tried.us < seen.us - 1e-6 or (tried.us <= seen.us and tried.excess < seen.excess)
                if better and tried.peak <= max(target, seen.peak):
                    seen, before, changed = tried, value, True
            state[gap] = before
        if not changed:
            break
        explorer.see(state, target)
    return state, explorer.see(state, target)


def _of_copies(explorer: Explorer, makes_at: Sequence[int], makes: Sequence[int], gap_at: Sequence[int]) -> list[int]:
    """The free gaps of what the ops of the last run that ran twice make, the most expensive ops first."""
    us = explorer.problem.tape.op_us
    again = explorer.again()
    found: list[int] = []
    for op in again[np.argsort(-us[again], kind="stable")]:
        for storage in makes[makes_at[op] : makes_at[op + 1]]:
            found += [gap for gap in range(gap_at[storage], gap_at[storage + 1]) if explorer.is_free[gap]]
    return found
