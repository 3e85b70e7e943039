"""What is measured on the device, and what is predicted of it."""

import pytest
import torch

import roam_lab as roam
from roam_lab.runtime.measured_run import measured_run
from tests.fake_cuda.training import Training


def test_the_arena_is_above_the_base_of_a_measured_run():
    training = Training("gpt2")
    training.eager()
    training.optimizer.zero_grad()
    hooked = training.hooked()
    before = torch.cuda.memory_allocated()
    hooked.prepare(training.batch)
    figures, _ = measured_run(hooked, training.optimizer, training.batch, steps=2, device="cuda")
    assert hooked.planned_steps == 2
    arena = hooked._pool.arena.numel()
    assert figures.base_bytes - before < arena // 100
    assert figures.peak_above_base_bytes >= arena


def wide():
    """A step with more parameters than activations: it peaks in its update."""
    model = torch.nn.Sequential(torch.nn.Linear(256, 256), torch.nn.Tanh(), torch.nn.Linear(256, 256)).cuda()
    return model, (torch.randn(1, 256, device="cuda"), torch.randn(1, 256, device="cuda"))


@pytest.mark.parametrize("options", [{}, {"foreach": True}, {"fused": True}, {"foreach": False}], ids=str)
def test_eager_is_predicted_with_what_its_optimizer_holds(options):
    """Foreach holds temporaries of all parameters at once, and eager gradients until zero_grad."""
    model, batch = wide()
    optimizer = torch.optim.AdamW(model.parameters(), **options)
    profile = roam.profile(model, batch, optimizer, loss=torch.nn.MSELoss())
    assert profile.captured_peak_bytes == pytest.approx(max(profile.measured.live_bytes), abs=4096)


def test_every_op_has_a_time_of_the_device():
    """Two events a call, which the fake says are a millisecond apart; parts of a multi-tensor call share its time."""
    graph = Training("tiny").profile(timing=True).graph
    assert {op.time_us for op in graph.ops if op.call is None} == {1000.0}
    calls = {op.call for op in graph.ops} - {None}
    assert calls
    for call in calls:
        assert sum(op.time_us for op in graph.ops if op.call == call) == pytest.approx(1000.0, abs=0.1)
