"""`roam.hook(model, optimizer)` on several ranks: one plans for all, and all of them train to the wrapper's bits."""

import os
from contextlib import nullcontext

import pytest
import torch
import torch.distributed as dist
from torch import nn

import roam_lab as roam
from roam_lab.errors import InfeasibleError, InputError, MismatchError, RoamError
from roam_lab.runtime import plans
from roam_lab.runtime.compiled import Compiled
from tests.distributed import sharded
from tests.distributed.launch import attempt, launch
from tests.distributed.models import clipped, mlp, rows, step, trained, with_batch_norm, wrapped
from tests.distributed.without_plan import both, smaller_last

STEPS = 7


def training(folder):
    found = both(mlp, smaller_last(STEPS), hooked={"cache": str(folder)}, bucket_cap_mb=0.001)
    return {"several buckets": found, "refused": refused()}


def more_trainings(folder):
    cached = {"cache": str(folder)}
    return {
        "first start": both(mlp, rows(STEPS), hooked=cached, bucket_cap_mb=0.001),
        "started again": started_again(folder),
        "buffers": both(with_batch_norm, smaller_last(STEPS), clipped, hooked=cached),
        "gradients kept": both(mlp, rows(STEPS), hooked={"keep_grads": True, "cache": False}, keeps=True),
        "budget": within_budget(),
    }


def started_again(folder):
    """The second start of the first of them; the plan is not made again."""

    def never(*_, **__):
        raise AssertionError("planned again")

    made, plans.plan_apart = plans.plan_apart, never
    try:
        return both(mlp, rows(STEPS), hooked={"cache": str(folder)}, bucket_cap_mb=0.001)
    finally:
        plans.plan_apart = made


def wide():
    return nn.Sequential(*(layer for _ in range(4) for layer in (nn.Linear(12, 48), nn.GELU(), nn.Linear(48, 12))))


def within_budget():
    """Half way between the least that is named as possible and what a plan without a budget takes."""
    batches = rows(4, size=64)
    model, optimizer = wrapped(wide)
    step(model, optimizer, batches[0])
    free = roam.profile(model, batches[0], optimizer, step=step).plan()
    resident, most = free.resident_bytes, free.resident_bytes + free.arena_bytes
    run = roam.hook(*wrapped(wide), step=step, budget=resident + 1)
    run(batches[0])
    before = [p.detach().clone() for p in run.model.parameters()]
    with pytest.raises(InfeasibleError) as none:
        run(batches[1])
    assert all(map(torch.equal, before, run.model.parameters()))
    budget = resident + int(free.arena_bytes * 0.9)
    found = both(wide, batches, hooked={"budget": budget, "cache": False})
    return found | {"budget": budget, "most": most, "resident": resident, "none": str(none.value)}


def refused():
    """What is said on each rank."""
    found = {}

    def of(kind, hook):
        try:
            hook()
        except (MismatchError, InputError) as error:
            found[kind] = str(error)

    def activated():
        return nn.Sequential(nn.Linear(12, 24), nn.Tanh() if dist.get_rank() else nn.ReLU(), nn.Linear(24, 5))

    of("model", lambda: roam.hook(*wrapped(activated), step=step))
    of("budget", lambda: roam.hook(*wrapped(mlp), step=step, budget="1GiB" if dist.get_rank() else "2GiB"))
    model, optimizer = wrapped(mlp)
    plan = roam.profile(model, rows(1)[0], optimizer, step=step).plan()
    of("both", lambda: roam.hook(plan if dist.get_rank() == 0 else None, model, optimizer, step=step, budget="1GiB"))
    return found


def same_and_planned(first, second, *names):
    for rank in (first, second):
        for name in names:
            found = rank[name]
            assert found["differs"] == [], (name, found["reasons"])
            assert found["eager"] == 1, (name, found["reasons"])
            assert found["planned"] == (3 if name == "budget" else STEPS - 1), (name, found["reasons"])
            assert found["plan"].order == first[name]["plan"].order, name


def test_the_first_rank_plans_for_all(tmp_path):
    first, second = launch(training, tmp_path, tmp_path / "cache")
    same_and_planned(first, second, "several buckets")
    for rank in (first, second):
        notes = rank["several buckets"]["notes"]
        assert notes == ["the capture is not kept for the next start: the model is on several ranks"]
        assert rank["refused"]["model"].startswith("rank 1 has another model than rank 0")
        assert rank["refused"]["budget"].startswith("rank 1 has another setting of roam.hook than rank 0")
        assert rank["refused"]["both"].startswith("a plan was given, which has its own budget")


@pytest.mark.slow
def test_second_start_buffers_gradients_and_a_budget(tmp_path):
    first, second = launch(more_trainings, tmp_path, tmp_path / "cache")
    same_and_planned(first, second, *first)
    for rank in (first, second):
        budget = rank["budget"]
        assert budget["plan"].arena_bytes + budget["resident"] <= budget["budget"] < budget["most"]
        assert "least" in budget["none"]


# --- gradients of several calls


def accumulated(where, settings):
    """Two batches an update; `no_sync()` around the call, or inside of the step."""

    def train_step(model, optimizer, batch):
        inputs, update = batch
        with nullcontext() if update or where == "around" else model.no_sync():
            loss = nn.functional.cross_entropy(model(inputs[0]), inputs[1])
            (loss / 2).backward()
        if update:
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
            optimizer.zero_grad()
        return loss.detach()

    def around(run, model):
        def call(batch):
            with model.no_sync() if where == "around" and not batch[1] else nullcontext():
                return run(batch)

        return call

    batches = [(batch, index % 2 == 1) for index, batch in enumerate(rows(12))]
    model, its = wrapped(with_batch_norm, **settings)
    eager = trained(around(lambda batch: train_step(model, its, batch), model), model, its, batches)
    model, its = wrapped(with_batch_norm, **settings)
    run = roam.hook(model, its, step=train_step)
    planned = trained(around(run, model), model, its, batches)
    differs = [name for name in eager if eager[name] != planned[name]]
    return {"differs": differs, "planned": run.planned_steps, "eager": run.eager_steps, "reasons": dict(run.reasons)}


def accumulations():
    return [
        accumulated("around", {}),
        accumulated("inside", {}),
        accumulated("around", {"gradient_as_bucket_view": True}),
        accumulated("inside", {"find_unused_parameters": True}),
    ]


@pytest.mark.slow
def test_gradients_of_several_calls(tmp_path):
    for around, inside, as_view, with_unused in launch(accumulations, tmp_path):
        for one in (around, inside, as_view, with_unused):
            assert one["differs"] == [], one["reasons"]
        for one in (around, inside):
            assert one["planned"] >= 8, one["reasons"]
        assert any("inside no_sync()" in reason for reason in as_view["reasons"])
        assert any("gradients are left from before" in reason for reason in with_unused["reasons"]), with_unused


# --- sharded


def sharded_trainings():
    results = []
    for make, goals in ((sharded.uneven, {}), (sharded.wide, {"extra_time": 1.0})):
        batches = sharded.batches_of(make, STEPS)
        if make is sharded.uneven and dist.get_rank() == 1:
            batches[-2] = rows(1, size=3)[0]
        torchs = sharded.eagerly(sharded.fully_sharded(make), batches)
        model = sharded.sharded(make)
        run = roam.hook(model, torch.optim.AdamW(model.parameters(), lr=0.01), step=step, **goals)
        planned = sharded.train(run, model, batches)
        differs = [name for name in torchs if torchs[name] != planned.get(name)]
        results.append((differs, run.planned_steps, run.eager_steps, dict(run.reasons), run.plan))
    return results


@pytest.mark.slow
def test_a_sharded_model(tmp_path):
    for each in launch(sharded_trainings, tmp_path):
        for differs, planned, eager, reasons, _ in each:
            assert (differs, planned, eager) == ([], STEPS, 0), reasons
        assert each[1][4].rewrites


# --- a rank that dies


def dying(where):
    run = roam.hook(*wrapped(mlp), step=step, cache=False)
    batches = rows(4)
    run(batches[0])
    if dist.get_rank() == 0 and where == "while it plans":
        plans.plan_apart = lambda *_, **__: os._exit(7)
    if dist.get_rank() == 0 and where == "in its planned step":
        Compiled.run = lambda *_: os._exit(7)
    try:
        run(batches[1])
    except RoamError as error:
        return str(error)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["while it plans", "in its planned step"])
def test_a_rank_that_dies_ends_the_others_with_a_sentence(tmp_path, where):
    (died, status), (how, found) = attempt(dying, tmp_path, where, timeout=10.0)
    assert (died, status, how) == ("died", 7, "returned"), found
    assert "another rank of the training has ended, or does not answer" in found
