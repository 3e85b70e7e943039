"""What strategies find on small steps is no worse than it was: `tests/data/rewritings.json`.

The figures are renewed, once a change has been looked at, by
`ROAM_UPDATE_REWRITINGS=1 python -m pytest tests/rewrite/test_no_worse.py`.
"""

import json
import os
from dataclasses import replace

import pytest

from roam_lab.ir.graph import Device
from roam_lab.registry import find
from roam_lab.rewrite.frontier import found
from roam_lab.rewrite.kinds import KINDS, ON_DEVICE
from roam_lab.rewrite.points import Goals
from tests.captured import DATA
from tests.rewrite.graphs import blocks, ladder, random_step

TABLE = DATA / "rewritings.json"
EXTRA_TIMES = (0.0, 0.02, 0.05, 0.15, 0.3)
CHEAP = Device(1e12, 1e12, 1.0, 2**20, 1e9, fused_share=0.5)
LINK = Device(1e12, 1e12, 0.0, 10**6, host_bytes_per_s=100e6)
STEPS = {
    **{f"blocks {count}": blocks(count) for count in (3, 6, 9)},
    "blocks 4, by ops": blocks(4, fused=False),
    "blocks 5, fused ops cheaper": replace(blocks(5), device=CHEAP),
    "blocks 8, with offload": replace(blocks(8), device=LINK),
    **{f"ladder {seed}, {length}": ladder(seed, length) for seed, length in ((1, 4), (2, 6), (5, 5), (3, 9))},
    **{f"step {seed}": random_step(seed) for seed in (2, 5, 7, 11, 23)},
}
EFFORTS = {"auto": 200, "greedy": 300, "ilp": 300, "checkpoint": None, "free": None}
SLACK = {"auto": 1.02, "greedy": 1.0, "ilp": 1.02, "checkpoint": 1.0, "free": 1.0}
"""Another release of HiGHS may find another of several solutions that are as good."""


def result_of(step, name):
    """The points and bounds of a strategy, as plain data: goals are extra times, then the middle of the peaks."""
    graph = STEPS[step]
    kinds = frozenset(KINDS if "offload" in step else ON_DEVICE)
    values = {} if EFFORTS[name] is None else {"effort": EFFORTS[name]}
    if "offload" in step:
        known = found(graph, Goals(EXTRA_TIMES, kinds=kinds), name, values)
    else:
        known = find("rewrite", name).function(graph, Goals(EXTRA_TIMES, kinds=kinds), **values)
    middle = (known.points[0].peak_bytes + known.points[-1].peak_bytes) // 2
    within = find("rewrite", name).function(graph, Goals(budgets=(middle,), kinds=frozenset(ON_DEVICE)), **values)
    fastest = within.within(middle)
    return {
        "points": [[round(point.extra_time, 6), point.peak_bytes] for point in known.points],
        "bounds": [[bound.extra_time, bound.peak_bytes] for bound in known.bounds],
        "budget": [middle, None if fastest is None else round(fastest.extra_time, 6)],
    }


def test_the_table_has_every_step_and_strategy():
    if os.environ.get("ROAM_UPDATE_REWRITINGS"):
        rows = {f"{step}: {name}": result_of(step, name) for step in STEPS for name in EFFORTS}
        lines = (f"{json.dumps(key)}: {json.dumps(row)}" for key, row in rows.items())
        TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    assert list(json.loads(TABLE.read_text())) == [f"{step}: {name}" for step in STEPS for name in EFFORTS]


@pytest.mark.parametrize("name", EFFORTS)
@pytest.mark.parametrize("step", STEPS)
def test_no_point_is_worse(step, name):
    before, now = json.loads(TABLE.read_text())[f"{step}: {name}"], result_of(step, name)
    for extra, peak in before["points"]:
        fitting = [one for time, one in now["points"] if time <= extra + 1e-6]
        assert fitting, f"nothing adds at most {extra:.3%}"
        assert min(fitting) <= SLACK[name] * peak, f"at {extra:.3%}"
    bounds = dict(map(tuple, now["bounds"]))
    for extra, peak in before["bounds"]:
        assert bounds.get(extra, 0) >= 0.99 * peak, f"the bound at {extra:.1%}"
    budget, extra = before["budget"]
    assert now["budget"][0] <= SLACK[name] * budget
    if now["budget"][0] == budget and extra is not None:
        assert now["budget"][1] <= SLACK[name] * extra + 1e-6
