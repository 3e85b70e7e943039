"""Searches are deterministic: on small steps each evaluates the states that it did before, and finds the same.

The figures are renewed, once a change of a search has been looked at, by
`ROAM_UPDATE_REWRITINGS=1 python -m pytest tests/rewrite/test_search.py`.
"""

import json
import os
from dataclasses import replace
from zlib import crc32

import numpy as np
import pytest

from roam_lab.rewrite import checkpoint, greedy
from roam_lab.rewrite.explorer import Explorer
from roam_lab.rewrite.points import Goals
from roam_lab.rewrite.search import search
from roam_lab.rewrite.sweep import polish, reach, sweep
from roam_lab.rewrite.tape import problem_of
from tests.captured import DATA
from tests.rewrite.graphs import blocks, ladder, random_step
from tests.rewrite.test_no_worse import CHEAP

TABLE = DATA / "searches.json"
STEPS = {
    "blocks 4": blocks(4),
    "blocks 3, by ops": blocks(3, fused=False),
    "blocks 6, fused ops cheaper": replace(blocks(6), device=CHEAP),
    **{f"ladder {seed}, {length}": ladder(seed, length) for seed, length in ((3, 7), (8, 9))},
    **{f"step {seed}": random_step(seed) for seed in (5, 11, 23)},
}


class Recorded(Explorer):
    """An explorer that keeps a digest of the states that it evaluates, and of the targets."""

    def __init__(self, problem, effort=0):
        super().__init__(problem, effort)
        self.seen = 0
        Recorded.latest = self

    def see(self, state, target=0):
        self.seen = crc32(f"{target}".encode() + state.tobytes(), self.seen)
        return super().see(state, target)

    def told(self):
        best = [[round(us, 6), peak] for us, peak in zip(self.front.us, self.front.peaks, strict=True)]
        return {"left": self.left, "states": self.seen, "front": best}


def searches(graph):
    """What each search does, by what it is asked for."""

    def asked(effort, *searches):
        explorer = Recorded(problem_of(graph), effort)
        peak = explorer.see(explorer.problem.start).peak
        for search_ in searches:
            search_(explorer, explorer.problem.start, peak)
        return explorer.told()

    def polished(explorer, start, peak):
        random, free = np.random.default_rng(0), explorer.problem.free_gaps
        for passes in (1, 2, 3):
            state = start.copy()
            state[free] = random.integers(0, 3, len(free))
            polish(explorer, state, int(0.8 * peak), passes)

    def searched(effort=150, **goal):
        return lambda explorer, start, peak: search(explorer, effort, **goal)

    base = problem_of(graph).base_us
    lower = lambda explorer, start, peak: sweep(explorer, start)  # noqa: E731
    found = {
        "sweep": asked(200, lower),
        "sweep to the end": asked(5_000, lower),
        "sweep to a floor": asked(200, lambda explorer, start, peak: sweep(explorer, start, int(0.7 * peak), 0.8)),
        "reach": asked(200, lambda explorer, start, peak: reach(explorer, start, int(0.6 * peak))),
        "reach with little effort": asked(200, lambda explorer, start, peak: reach(explorer, start, peak // 2, 12)),
        "polish": asked(300, polished),
        "polish until nothing is left": asked(25, polished),
        "search at a time": asked(500, lower, searched(us=1.1 * base, seed=1)),
        "search at another time": asked(500, searched(us=1.3 * base)),
        "search within a budget": asked(
            900, lower, lambda explorer, start, peak: search(explorer, 150, budget=int(0.8 * peak), seed=3)
        ),
        "search until it is in vain": asked(4_000, searched(4_000, us=1.15 * base)),
        "search until nothing is left": asked(60, searched(us=1.5 * base)),
    }
    for module, strategy in ((greedy, greedy.greedy), (checkpoint, checkpoint.checkpoint)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "Explorer", Recorded)
            strategy(graph, Goals((0.1,)), **({"effort": 250} if module is greedy else {}))
            found[strategy.__name__] = Recorded.latest.told()
    return found


def test_the_table_has_every_step():
    if os.environ.get("ROAM_UPDATE_REWRITINGS"):
        rows = {f"{step}: {name}": row for step in STEPS for name, row in searches(STEPS[step]).items()}
        TABLE.write_text(
            "{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(row)}" for key, row in rows.items()) + "\n}\n"
        )
    assert {key.partition(":")[0] for key in json.loads(TABLE.read_text())} == set(STEPS)


@pytest.mark.parametrize("step", STEPS)
def test_every_search_evaluates_the_same_states_and_finds_the_same(step):
    known = {
        key.partition(": ")[2]: row for key, row in json.loads(TABLE.read_text()).items() if key.startswith(f"{step}:")
    }
    assert searches(STEPS[step]) == known
