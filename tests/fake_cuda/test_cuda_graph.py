"""A planned step as a CUDA graph, as far as the host goes: torch's own CUDAGraph on a device that computes nothing."""

import ctypes

import pytest
import torch

from roam_lab.runtime.executors import CudaGraphExecutor
from tests.fake_cuda.device_counts import counted
from tests.fake_cuda.training import Training

STEPS_BEFORE_A_GRAPH = 3


def fused(parameters):
    return torch.optim.AdamW(parameters, lr=1e-3, fused=True)


def graph_launches():
    function = ctypes.CDLL(None).fake_graph_launches
    function.restype = ctypes.c_long
    return function()


def hooked(name="tiny", make_optimizer=fused, steps=STEPS_BEFORE_A_GRAPH):
    training = Training(name, make_optimizer)
    training.eager()
    training.optimizer.zero_grad()
    step = training.hooked(executor="cuda_graph")
    for _ in range(steps):
        step(training.batch)
    return training, step


@pytest.mark.parametrize("name", ["tiny", "vit", "resnet", "gpt2"])
def test_a_step_is_one_launch(name):
    training, step = hooked(name, steps=STEPS_BEFORE_A_GRAPH + 1)
    before = graph_launches()
    with counted() as found:
        loss = step(training.batch)
    assert graph_launches() == before + 1
    assert found.syncs == found.mallocs == 0
    assert found.launches < 12  # the batch, the random state and the loss, which are copied
    assert loss.shape == ()
    assert step.eager_steps == 0
    assert [note for note in step.notes if note.startswith("the CUDA graph holds ")]


def test_numbers_are_recorded_again_when_a_setting_changes():
    training, step = hooked(steps=STEPS_BEFORE_A_GRAPH + 1)
    before = graph_launches()
    training.optimizer.param_groups[0]["lr"] = 5e-4
    step(training.batch)
    step(training.batch)
    assert graph_launches() == before + 2
    assert not [note for note in step.notes if "not run as a CUDA graph" in note]


def test_python_runs_it_where_a_setting_changes_each_step():
    training, step = hooked(steps=STEPS_BEFORE_A_GRAPH + 1)
    for number in range(4):
        training.optimizer.param_groups[0]["lr"] = 1e-4 * (number + 1)
        step(training.batch)
    before = graph_launches()
    with counted() as found:
        step(training.batch)
    assert graph_launches() == before
    assert found.launches > 20
    assert [note for note in step.notes if note.startswith("the step is not run as a CUDA graph: a setting ")]
    assert step.eager_steps == 0


def test_an_evaluation_takes_the_arena_and_the_graph():
    training, step = hooked(steps=STEPS_BEFORE_A_GRAPH + 1)
    with torch.no_grad():
        training.model(**training.batch)
    before = graph_launches()
    with counted() as found:
        step(training.batch)
    assert graph_launches() == before + 1
    assert found.mallocs
    step(training.batch)
    assert graph_launches() == before + 2


def test_random_numbers_are_counted_as_eagerly():
    offsets = []
    for graph in (False, True):
        training, step = hooked("gpt2") if graph else (Training("gpt2", fused), None)
        torch.cuda.manual_seed(3)
        for _ in range(3):
            step(training.batch) if graph else training.eager()
            offsets.append(torch.cuda.default_generators[0].get_offset())
    assert offsets[:3] == offsets[3:]
    assert offsets[0] > 0


def test_the_loss_is_the_users_own():
    training, step = hooked(steps=STEPS_BEFORE_A_GRAPH + 1)
    first, second = step(training.batch), step(training.batch)
    assert first.data_ptr() != second.data_ptr()


@pytest.mark.parametrize(
    ("name", "make_optimizer", "why"),
    [
        ("tiny", torch.optim.AdamW, "lies on the host"),
        ("tiny_checkpointed", fused, "random state"),
    ],
)
def test_what_is_no_graph_runs_from_python(name, make_optimizer, why):
    before = graph_launches()
    _, step = hooked(name, make_optimizer, steps=STEPS_BEFORE_A_GRAPH + 2)
    assert graph_launches() == before
    (note,) = [note for note in step.notes if note.startswith("the step is not run as a CUDA graph: ")]
    assert why in note
    assert (step.planned_steps, step.eager_steps) == (STEPS_BEFORE_A_GRAPH + 2, 0)


def test_what_cuda_refuses_runs_from_python(monkeypatch):
    """The device answers like CUDA where the host waits for a stream that is captured."""
    run = CudaGraphExecutor.run

    def waiting(executor, function, tensors, numbers):
        def program(*arguments):
            results = function(*arguments)
            if torch.cuda.is_current_stream_capturing():
                torch.cuda.current_stream().synchronize()
            return results

        return run(executor, program, tensors, numbers)

    monkeypatch.setattr(CudaGraphExecutor, "run", waiting)
    training, step = hooked("gpt2")
    stream, offset = torch.cuda.current_stream(), torch.cuda.default_generators[0].get_offset()
    step(training.batch)
    assert [note for note in step.notes if note.startswith("the step is not run as a CUDA graph: capturing it failed")]
    drawn = torch.cuda.default_generators[0].get_offset() - offset
    step(training.batch)
    assert torch.cuda.default_generators[0].get_offset() - offset == 2 * drawn > 0
    assert torch.cuda.current_stream() == stream
    assert step.eager_steps == 0
    torch.cuda.empty_cache()  # which torch 2.11 does not survive while it takes itself to be capturing
