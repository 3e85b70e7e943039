"""Local search over states: the decisions of one block of the model are copied to others, or a few gaps toggled; then
the state is repaired and polished."""

from __future__ import annotations

import numpy as np

from roam_lab.rewrite.explorer import Explorer, State
from roam_lab.rewrite.sweep import polish, reach
from roam_lab.rewrite.tape import Ints

MOST_TOGGLES = 6
COPY_PART = 2 / 3
"""The probability that blocks are copied; otherwise gaps are toggled."""
PATIENCE = 16
"""The search ends after this many tries in a row that found nothing better."""
REPAIR = 600
"""States that one repair may evaluate."""
MOST_FALL = 0.01
"""The most that one try aims to lower the peak by, as a fraction of it."""


def copied_block(explorer: Explorer, state: State, level: Ints, source: int, to: int) -> State:
    """`state` with all decisions of block `source` made in block `to`, role by role."""
    of_gap = explorer.roles.of_gap
    state = state.copy()
    theirs: dict[int, list[int]] = {}
    for gap in np.flatnonzero(level == source).tolist():
        theirs.setdefault(int(of_gap[gap]), []).append(gap)
    place: dict[int, int] = {}
    for gap in np.flatnonzero(level == to).tolist():
        role = int(of_gap[gap])
        at = place[role] = place.get(role, -1) + 1
        if at < len(theirs.get(role, ())) and explorer.is_free[gap] and explorer.is_free[theirs[role][at]]:
            state[gap] = state[theirs[role][at]]
    return state


def search(explorer: Explorer, effort: int, us: float | None = None, budget: int | None = None, seed: int = 0) -> None:
    """Change the best state known, repair it and polish it, for about `effort` evaluations or until PATIENCE tries in a
    row found nothing better. States go to the explorer's front.

    The best state is that of least peak that takes at most `us`, or the fastest with a peak of at most `budget` bytes.
    """
    front = explorer.front
    random = np.random.default_rng(seed)
    end = explorer.left - effort
    if not len(explorer.problem.free_gaps):
        return
    vain = 0
    before: tuple[int, float] | None = None
    while explorer.left > max(end, 0):
        best = front.at_most(us) if us is not None else front.within(budget or 0)
        if best is None:
            return
        now = (front.peaks[best], front.us[best])
        vain = vain + 1 if now == before else 0
        before = now
        if vain > PATIENCE:
            return
        limit = front.us[best] if us is None else us
        # or one that is a little slower and a little smaller
        best = min(len(front.us) - 1, best + int(random.integers(0, 3)))
        peak = front.peaks[best]
        state = _changed(explorer, front.states[best], random)
        target = int(peak * (1 - MOST_FALL * random.random())) if budget is None else budget
        state, seen = reach(explorer, state, target, REPAIR)
        if seen.peak <= max(peak, target) and seen.us < limit * 1.1:
            polish(explorer, state, max(target, seen.peak), 1)


def _changed(explorer: Explorer, state: State, random: np.random.Generator) -> State:
    """A copy of `state` with one block's decisions copied to one to four others, or with a few gaps toggled."""
    levels = explorer.roles.levels
    if levels and random.random() < COPY_PART:
        level = levels[int(random.integers(len(levels)))]
        count = int(level.max()) + 1
        source, *others = random.permutation(count)[: int(random.integers(2, 6))].tolist()
        for to in others:
            state = copied_block(explorer, state, level, source, to)
        return state
    state = state.copy()
    for gap in random.choice(explorer.problem.free_gaps, int(random.integers(1, MOST_TOGGLES + 1))):
        state[gap] = random.integers(0, 3)
    return state
