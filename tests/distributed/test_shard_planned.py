"""A sharded model is planned on all ranks: gathers are ops, which a budget may run again."""

import os

import pytest
import torch
import torch.distributed as dist

import roam_lab as roam
from roam_lab.errors import RoamError
from roam_lab.runtime.compiled import Compiled
from tests.distributed.launch import attempt, launch
from tests.distributed.models import clipped, gpt2, rows, step
from tests.distributed.sharded import Tied, both, eagerly, sharded, train, uneven, wide, with_frozen

STEPS = 4


def several(makes):
    return [both(make, STEPS, train_step, **goals) for make, train_step, goals in makes]


def same_and_planned(message):
    for rank in message:
        assert rank["differs"] == [], rank["reasons"]
        assert (rank["planned"], rank["eager"]) == (STEPS, 0), rank["reasons"]


def gathered(plan):
    graph = plan.graph if plan.rewritten is None else plan.rewritten.graph
    return sum(op.target == "roam_ranks.gather.default" for op in graph.ops)


def test_planned(tmp_path):
    found = launch(several, tmp_path, [(uneven, clipped, {})])
    for each in zip(*found, strict=True):
        same_and_planned(each)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_more_models(tmp_path, ranks):
    makes = [(uneven, step, {}), (with_frozen, step, {}), (gpt2, step, {"extra_time": 0.3}), (Tied, step, {})]
    for each in zip(*launch(several, tmp_path, makes, ranks=ranks), strict=True):
        same_and_planned(each)


@pytest.mark.slow
def test_a_budget_gathers_again_in_backward(tmp_path):
    found = launch(several, tmp_path, [(wide, step, {}), (wide, step, {"extra_time": 1.0})])
    for each in zip(*found, strict=True):
        same_and_planned(each)
    plain, again = (rank["plan"] for rank in found[0])
    assert gathered(again) > gathered(plain) == 14
    assert again.arena_bytes < 0.7 * plain.arena_bytes


# --- ranks stay together


def another_shape():
    model = sharded(uneven)
    its = torch.optim.AdamW(model.parameters(), lr=0.01)
    batches = rows(STEPS)
    if dist.get_rank() == 1:
        batches[2] = rows(1, size=3)[0]
    eager = eagerly(sharded(uneven), batches)
    run = roam.hook(roam.profile(model, batches[0], its, step=step).plan(), model, its, step=step)
    planned = train(run, model, batches)
    with torch.no_grad():  # the user's own
        model(batches[0][0])
    return run.planned_steps, eager == planned, list(run.reasons)


def dying():
    model = sharded(uneven)
    its = torch.optim.AdamW(model.parameters(), lr=0.01)
    batches = rows(2)
    run = roam.hook(roam.profile(model, batches[0], its, step=step).plan(), model, its, step=step)
    run(batches[0])
    if dist.get_rank() == 1:
        Compiled.run = lambda *_: os._exit(7)  # the other waits for its part
    try:
        run(batches[1])
    except RoamError as error:
        return str(error)


@pytest.mark.slow
def test_ranks_stay_together(tmp_path):
    found = launch(another_shape, tmp_path)
    assert [one[:2] for one in found] == [(STEPS - 1, True)] * 2, found
    assert any("rank 1 runs this step eagerly: the batch is not" in reason for reason in found[0][2])
    (how, sentence), (died, _) = attempt(dying, tmp_path, timeout=10.0)
    assert (how, died) == ("returned", "died")
    assert "another rank of the training has ended, or does not answer" in sentence
