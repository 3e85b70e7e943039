"""Whatever one rank meets, all ranks do the same, and none waits for ever."""

import os
import time

import pytest
import torch
import torch.distributed as dist
from torch import nn

import roam_lab as roam
from roam_lab.errors import MismatchError, RoamError
from roam_lab.runtime.compiled import Compiled
from tests.distributed.launch import attempt, launch
from tests.distributed.models import mlp, rows, step, trained, wrapped

STEPS = 6


def told_by(error):
    return f"{type(error).__name__}: {error}"


def hooked(make=mlp, train_step=step, **options):
    model, optimizer = wrapped(make)
    plan = roam.profile(model, rows(1)[0], optimizer, step=train_step).plan()
    return roam.hook(plan, model, optimizer, step=train_step, **options), model, optimizer


def alone(batches, train_step=step, make=mlp):
    """What the wrapper alone leaves."""
    model, optimizer = wrapped(make)
    return trained(lambda batch: train_step(model, optimizer, batch), model, optimizer, batches)


def compared(run, model, optimizer, batches, make=mlp):
    planned = trained(run, model, optimizer, batches)
    eager = alone(batches, make=make)
    differs = [name for name in eager if eager[name] != planned[name]]
    return {"planned": run.planned_steps, "eager": run.eager_steps, "reasons": dict(run.reasons), "differs": differs}


# --- another model, another plan


def another_model():
    def with_relu():
        return nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 5))

    def with_tanh():
        return nn.Sequential(nn.Linear(12, 24), nn.Tanh(), nn.Linear(24, 5))

    model, optimizer = wrapped(with_tanh if dist.get_rank() else with_relu)
    plan = roam.profile(model, rows(1)[0], optimizer, step=step).plan()
    try:
        roam.hook(plan, model, optimizer, step=step)
    except MismatchError as error:
        return str(error)


def another_code():
    """Of one model: no class of a module tells."""

    def in_half(model, optimizer, batch):
        loss = nn.functional.cross_entropy(model(batch[0]) / 2, batch[1])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    train_step = in_half if dist.get_rank() else step
    model, optimizer = wrapped(mlp)
    plan = roam.profile(model, rows(1)[0], optimizer, step=train_step).plan()
    try:
        roam.hook(plan, model, optimizer, step=train_step)
    except MismatchError as error:
        return str(error)


def another_setting():
    model, optimizer = wrapped(mlp)
    plan = roam.profile(model, rows(1)[0], optimizer, step=step).plan()
    try:
        roam.hook(plan, model, optimizer, step=step, check=3 if dist.get_rank() else "first")
    except MismatchError as error:
        return str(error)


# --- one rank leaves the way


def another_shape():
    run, model, optimizer = hooked()
    batches = rows(STEPS)
    if dist.get_rank() == 1:
        batches[3] = rows(1, size=3)[0]
    return compared(run, model, optimizer, batches)


def in_one_group(*functions):
    """Starting ranks takes longer than what most of these do."""
    return [function() for function in functions]


def test_one_rank_that_differs_is_refused_or_makes_all_run_eagerly(tmp_path):
    found = launch(in_one_group, tmp_path, another_model, another_code, another_setting, another_shape)
    for model, code, setting, _ in found:
        assert model.startswith("rank 1 has another model than rank 0")
        assert code.startswith("rank 1 has another training step in its plan than rank 0")
        assert setting.startswith("rank 1 has another setting of roam.hook than rank 0")
    first, second = (one[-1] for one in found)
    for found in (first, second):
        assert (found["planned"], found["eager"], found["differs"]) == (4, 2, []), found["reasons"]
    assert any(reason.startswith("the batch is not") for reason in second["reasons"])
    assert any(reason.startswith("rank 1 runs this step eagerly: the batch is not") for reason in first["reasons"])


def replanned_shapes():
    run, model, optimizer = hooked(on_mismatch="replan")
    batches = rows(STEPS)
    if dist.get_rank() == 1:
        batches[2:] = rows(STEPS - 2, size=3)
    return compared(run, model, optimizer, batches)


def changed_on_one_rank():
    """A number that the step reads, changed on rank 1: it looks whether its captured step is still right."""
    model, optimizer = wrapped(mlp)
    weight = {"of the loss": 1.0, "unread": 0}

    def train_step(model, optimizer, batch):
        loss = nn.functional.cross_entropy(model(batch[0]), batch[1]) * weight["of the loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    plan = roam.profile(model, rows(1)[0], optimizer, step=train_step).plan()
    run = roam.hook(plan, model, optimizer, step=train_step)

    def changing(run):
        for index, batch in enumerate(rows(STEPS)):
            weight["of the loss"] = 2.0 if index >= 3 and dist.get_rank() == 1 else 1.0
            weight["unread"] = index if dist.get_rank() == 0 else 0
            yield run(batch)

    planned = [loss.item() for loss in changing(run)]
    model, optimizer = wrapped(mlp)
    eager = [loss.item() for loss in changing(lambda batch: train_step(model, optimizer, batch))]
    same = all(map(torch.equal, model.parameters(), run.model.parameters()))
    return planned == eager and same, run.planned_steps, dict(run.reasons)


# --- never silently wrong


def wrong_on_one_rank():
    run, model, optimizer = hooked()
    right = Compiled.run
    if dist.get_rank() == 1:

        def spoiled(compiled, batch):
            result = right(compiled, batch)
            with torch.no_grad():
                next(model.parameters()).add_(1)
            return result

        Compiled.run = spoiled
    try:
        return compared(run, model, optimizer, rows(STEPS))
    finally:
        Compiled.run = right


@pytest.mark.slow
def test_one_rank_plans_looks_again_or_is_wrong(tmp_path):
    """Batches of its own are planned; a number that it changes is looked at; a wrong planned step ends planning on all
    ranks."""
    found = launch(in_one_group, tmp_path, replanned_shapes, changed_on_one_rank, wrong_on_one_rank)
    for replanned, (same, planned, reasons), _ in found:
        assert (replanned["planned"], replanned["eager"], replanned["differs"]) == (5, 1, []), replanned["reasons"]
        assert same
        assert planned >= 4, reasons
    first, second = (one[-1] for one in found)
    for found in (first, second):
        assert (found["planned"], found["eager"], found["differs"]) == (0, STEPS, []), found["reasons"]
    assert any("is not the eager step on another rank" in reason for reason in first["reasons"])
    assert any("is not the eager step, bit for bit" in reason for reason in second["reasons"])


# --- a rank that dies


def dying(where):
    run, _, _ = hooked()
    batches = rows(STEPS)
    for batch in batches[:3]:
        run(batch)
    if dist.get_rank() == 1:
        if where == "between steps":
            os._exit(7)
        Compiled.run = lambda *_: os._exit(7)  # the others wait for what it should have exchanged
    began = time.monotonic()
    try:
        run(batches[3])
    except RoamError as error:
        return str(error), time.monotonic() - began


@pytest.mark.slow
@pytest.mark.parametrize("where", ["between steps", "in a step"])
def test_a_rank_that_dies_ends_the_others_with_a_sentence(tmp_path, where):
    (how, found), (died, status) = attempt(dying, tmp_path, where, timeout=10.0)
    assert how == "returned", found
    sentence, seconds = found
    assert "another rank of the training has ended, or does not answer" in sentence
    assert seconds < 15
    assert (died, status) == ("died", 7)
