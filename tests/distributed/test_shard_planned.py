"""A sharded model is planned on all ranks: gathers are ops, which a budget may run again."""

import pytest

from tests.distributed.launch import launch
from tests.distributed.models import clipped, gpt2, step
from tests.distributed.sharded import Tied, both, uneven, wide, with_frozen

STEPS = 4


def several(makes):
    return [both(make, STEPS, train_step, **goals) for make, train_step, goals in makes]


def same_and_planned(told):
    for rank in told:
        assert rank["differs"] == [], rank["reasons"]
        assert (rank["planned"], rank["eager"]) == (STEPS, 0), rank["reasons"]


def gathered(plan):
    graph = plan.graph if plan.rewritten is None else plan.rewritten.graph
    return sum(op.target == "roam_ranks.gather.default" for op in graph.ops)


def test_planned(tmp_path):
    told = launch(several, tmp_path, [(uneven, clipped, {})])
    for each in zip(*told, strict=True):
        same_and_planned(each)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_more_models(tmp_path, ranks):
    makes = [(uneven, step, {}), (with_frozen, step, {}), (gpt2, step, {"extra_time": 0.3}), (Tied, step, {})]
    for each in zip(*launch(several, tmp_path, makes, ranks=ranks), strict=True):
        same_and_planned(each)


@pytest.mark.slow
def test_a_budget_gathers_again_in_backward(tmp_path):
    told = launch(several, tmp_path, [(wide, step, {}), (wide, step, {"extra_time": 1.0})])
    for each in zip(*told, strict=True):
        same_and_planned(each)
    plain, again = (rank["plan"] for rank in told[0])
    assert gathered(again) > gathered(plain) == 14
    assert again.arena_bytes < 0.7 * plain.arena_bytes
