"""A planned step needs no buckets of the wrapper's; whoever runs the model itself finds them again."""

import pytest
import torch
from torch import nn

import roam_lab as roam
from roam_lab.distributed.bucket_memory import memory_of
from roam_lab.ir import lifetimes
from tests.distributed.launch import launch
from tests.distributed.models import mlp, rows, step, trained, wrapped


def between_steps():
    """The user's own step, an evaluation, and a batch of another shape between planned steps."""

    def train(run, model, optimizer, note):
        batches = rows(6)
        for batch in batches[:3]:
            run(batch)
        note("planned")
        model.eval()
        with torch.no_grad():
            model(batches[0][0])
        note("evaluation")
        model.train()
        run(batches[5])
        note("planned again")
        run(rows(1, size=3)[0])
        note("eager")
        run(batches[0])
        step(model, optimizer, batches[3])
        note("own step")
        optimizer.zero_grad()
        run(batches[4])
        note("planned after it")

    model, optimizer = wrapped(mlp)
    train(lambda batch: step(model, optimizer, batch), model, optimizer, lambda _: None)
    eager = [p.detach().clone() for p in model.parameters()]
    model, optimizer = wrapped(mlp)
    plan = roam.profile(model, rows(1)[0], optimizer, step=step).plan()
    run = roam.hook(plan, model, optimizer, step=step)
    away = {}

    def note(name):
        away[name] = memory_of(model).away

    train(run, model, optimizer, note)
    gradients = sum(p.numel() * p.element_size() for p in model.parameters())
    found = {"same": all(map(torch.equal, eager, model.parameters())), "away": away, "reasons": dict(run.reasons)}
    found |= {"bytes": memory_of(model).bytes == gradients, "planned": run.planned_steps}
    del run
    return found | {"after the hook": memory_of(model).away}


@pytest.mark.slow
def test_the_wrappers_buckets_are_given_back_and_found_again(tmp_path):
    for found in launch(between_steps, tmp_path):
        assert found["same"], found["reasons"]
        assert found["bytes"]
        away = [name for name, gone in found["away"].items() if gone]
        assert away == ["planned", "planned again"]  # who runs the model by himself may do so again
        assert found["planned"] == 5, found["reasons"]
        assert not found["after the hook"]


def deep():
    return nn.Sequential(*(nn.Linear(64, 64) for _ in range(8)))


def figures():
    model, optimizer = wrapped(deep, bucket_cap_mb=0.02)
    batches = [(torch.randn(4, 64), torch.randint(0, 5, (4,)))]
    plan = roam.profile(model, batches[0], optimizer, step=step).plan()
    graph = plan.graph
    buckets = {storage for op in graph.ops if "all_reduce_" in op.target for storage in op.writes}
    lives = {life.storage: life for life in lifetimes(graph, plan.order)}
    at = [sum(lives[b].bytes for b in buckets if lives[b].start <= t < lives[b].end) for t in range(len(graph.ops))]
    gradients = sum(p.numel() * p.element_size() for p in model.parameters())
    return {"buckets": len(buckets), "most": max(at), "gradients": gradients}


@pytest.mark.slow
def test_buckets_die_with_their_updates(tmp_path):
    """Where each bucket is updated as soon as it is averaged, not all of them are there at once."""
    for found in launch(figures, tmp_path):
        assert found["buckets"] == 4
        assert found["most"] < found["gradients"]


# --- conditions inside of a step, checked at every second step


def with_scaled_loss(model, optimizer, batch):
    """As a GradScaler does it: whether the optimizer steps depends on averaged gradients, which all ranks have."""
    loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
    (loss * 8).backward()
    for parameter in model.parameters():
        parameter.grad.mul_(1 / 8)
    norm = nn.utils.get_total_norm([p.grad for p in model.parameters()])
    if norm < 100:
        optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


def by_its_own_loss(model, optimizer, batch):
    """A branch on this rank's own loss, after the first exchange."""
    loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
    loss.backward()
    if loss < 100:
        optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


def branching(train_step):
    model, optimizer = wrapped(mlp)
    eager = trained(lambda batch: train_step(model, optimizer, batch), model, optimizer, rows(5))
    model, optimizer = wrapped(mlp)
    plan = roam.profile(model, rows(1)[0], optimizer, step=train_step).plan()
    run = roam.hook(plan, model, optimizer, step=train_step, check=2)
    planned = trained(run, model, optimizer, rows(5))
    return run.planned_steps, dict(run.reasons), [name for name in eager if eager[name] != planned[name]]


@pytest.mark.slow
@pytest.mark.parametrize(("train_step", "planned"), [(with_scaled_loss, 4), (by_its_own_loss, 0)])
def test_branches_on_what_all_ranks_know(tmp_path, train_step, planned):
    for found, reasons, differs in launch(branching, tmp_path, train_step):
        assert differs == []
        assert found == planned, reasons
        assert planned or any("may differ from rank to rank" in reason for reason in reasons)
