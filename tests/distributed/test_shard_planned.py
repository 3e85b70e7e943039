"""A sharded model is planned on all ranks: gathers are ops, which a budget may run again."""

import pytest

from tests.distributed.launch import launch
from tests.distributed.models import clipped, gpt2, step
from tests.distributed.sharded import Tied, both, uneven, with_frozen

STEPS = 4


def several(makes):
    return [both(make, STEPS, train_step, **goals) for make, train_step, goals in makes]


def same_and_planned(told):
    for rank in told:
        assert rank["differs"] == [], rank["reasons"]
        assert (rank["planned"], rank["eager"]) == (STEPS, 0), rank["reasons"]


def gathers(plan):
    graph = plan.graph if plan.rewritten is None else plan.rewritten.graph
    return sum(op.target == "roam_ranks.gather.default" for op in graph.ops)


def test_planned(tmp_path):
    told = launch(several, tmp_path, [(uneven, step, {}), (Tied, step, {})])
    for each in zip(*told, strict=True):
        same_and_planned(each)
