"""Rewritten plans run on CUDA, in no more memory than planned."""

import pytest
import torch

import roam_lab as roam
from tests.fake_cuda.larger import LARGER
from tests.fake_cuda.training import Training
from tests.zoo import MODELS


def peak_bytes(step, batch):
    """Of one more step, above what is allocated before it, the arena apart."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step(batch)
    return torch.cuda.max_memory_allocated() - before


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_rewritten_step_runs_and_takes_what_was_planned(name):
    training = Training(name)
    training.eager()
    training.optimizer.zero_grad()
    profile = training.profile(times="h100")
    plan = profile.plan(extra_time=0.3)
    assert plan.arena_bytes < profile.plan().arena_bytes
    assert {rewrite.kind for rewrite in plan.rewrites} >= {"in_place", "offload"}
    step = roam.hook(plan, training.model, training.optimizer, step=training.step, check="never")
    for _ in range(3):
        step(training.batch)
    assert (step.planned_steps, step.eager_steps) == (3, 0), step.reasons
    beside = plan.arena_bytes - step._pool.arena.numel() + 2**20  # small results lie beside the arena, in pages of 512
    assert peak_bytes(step, training.batch) <= beside


def test_no_step_takes_more_than_the_one_before(monkeypatch):
    """Of a model whose native convolutions take memory for themselves first, so that results lie beside the arena."""
    monkeypatch.setitem(MODELS, "unet", LARGER["unet"])
    training = Training("unet")
    training.eager()
    training.optimizer.zero_grad()
    plan = training.profile(times="h100").plan(extra_time=0.3)
    assert plan.rewrites
    step = roam.hook(plan, training.model, training.optimizer, step=training.step, check="never")
    step(training.batch)
    reserved = torch.cuda.memory_reserved()
    peaks = {peak_bytes(step, training.batch) for _ in range(4)}
    assert len(peaks) == 1
    assert torch.cuda.memory_reserved() == reserved
    assert (step.planned_steps, step.eager_steps) == (5, 0), step.reasons
