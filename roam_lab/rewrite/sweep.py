"""Greedy descent: the memory target falls step by step, and the cheapest drops at the hottest instant meet it."""

from __future__ import annotations

import numpy as np

from roam_lab.rewrite.evaluate import Cost
from roam_lab.rewrite.explorer import Explorer, State
from roam_lab.rewrite.tape import DROP, HOLD, KEEP, NEVER

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


def reach(explorer: Explorer, state: State, target: int, effort: int = NEVER) -> tuple[State, Cost]:
    """Bring the peak down to `target` bytes if that is found to be possible with about `effort` evaluations; the last
    state and what it costs."""
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
    """The free gaps held through `item`, those of one role together, in the order of their storages."""
    groups: dict[int, list[int]] = {}
    for gap in explorer.held_through(item).tolist():
        groups.setdefault(int(explorer.roles.of_gap[gap]), []).append(gap)
    return groups


def _gain(before: Cost, after: Cost) -> float:
    """Excess removed per us added; more than any where no time is added."""
    removed = before.excess - after.excess
    if removed <= 0:
        return -1.0
    return removed / max(after.us - before.us, 1e-3)


def _best(
    explorer: Explorer, state: State, seen: Cost, groups: dict[int, list[int]], target: int
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
    explorer: Explorer, state: State, seen: Cost, groups: dict[int, list[int]], target: int
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


def polish(explorer: Explorer, state: State, target: int, passes: int = 2) -> tuple[State, Cost]:
    """Try the other states of everything that runs twice; keep what takes less time with a peak of at most `target`.

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
    """Give `gaps` the state `value`, unless that takes more time or too much memory; what it costs then."""
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
    """The free gaps of what the ops of the last run that ran twice make, by role, the most expensive ops first."""
    tape, of_gap = explorer.problem.tape, explorer.roles.of_gap
    again = explorer.again()
    groups: dict[int, list[int]] = {}
    for op in again[np.argsort(-tape.op_us[again], kind="stable")]:
        for storage in tape.makes[tape.makes_at[op] : tape.makes_at[op + 1]]:
            for gap in range(tape.gap_at[storage], tape.gap_at[storage + 1]):
                if explorer.is_free[gap]:
                    groups.setdefault(int(of_gap[gap]), []).append(gap)
    return [sorted(gaps) for gaps in groups.values()]
