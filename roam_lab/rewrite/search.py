"""Local search: decisions copied from block to block, roles changed as a whole, a few gaps toggled; then repaired."""

from __future__ import annotations

import numpy as np

from roam_lab.rewrite.explorer import Explorer, State
from roam_lab.rewrite.sweep import polish, reach

MOST_TOGGLES = 6


def copied_block(explorer: Explorer, state: State, source: int, to: int) -> State:
    """`state` with all decisions of block `source` made in block `to`, role by role."""
    roles = explorer.roles
    state = state.copy()
    theirs: dict[int, list[int]] = {}
    for gap in np.flatnonzero(roles.block == source):
        theirs.setdefault(int(roles.of_gap[gap]), []).append(int(gap))
    place: dict[int, int] = {}
    for gap in np.flatnonzero(roles.block == to):
        role = int(roles.of_gap[gap])
        at = place[role] = place.get(role, -1) + 1
        if at < len(theirs.get(role, ())) and explorer.is_free[gap] and explorer.is_free[theirs[role][at]]:
            state[gap] = state[theirs[role][at]]
    return state


def search(explorer: Explorer, us: float, tries: int, seed: int = 0) -> None:
    """`tries` times: change the best state known that takes at most `us`, lower its peak a little, polish it."""
    random = np.random.default_rng(seed)
    blocks = len(explorer.roles.blocks)
    for attempt in range(tries):
        best = explorer.front.at_most(us)
        if best is None or explorer.left <= 0:
            return
        # sometimes from a neighbour on the front: a little slower, a little smaller
        best = min(len(explorer.front.us) - 1, best + int(random.integers(0, 3)))
        state, peak = explorer.front.states[best].copy(), explorer.front.peaks[best]
        kind = attempt % 3
        if kind < 2 and blocks > 1:
            source, to = random.choice(blocks, 2, replace=False)
            state = copied_block(explorer, state, int(source), int(to))
            if kind == 1:
                for other in random.choice(blocks, min(3, blocks), replace=False):
                    if other != source:
                        state = copied_block(explorer, state, int(source), int(other))
        else:
            count = int(random.integers(1, MOST_TOGGLES + 1))
            for gap in random.choice(explorer.problem.free_gaps, count):
                state[gap] = random.integers(0, 3)
        target = int(peak * (1 - 0.01 * random.random()))
        state, seen = reach(explorer, state, target)
        if seen.peak <= peak and seen.us < us * 1.1:
            polish(explorer, state, max(target, seen.peak), 1)
