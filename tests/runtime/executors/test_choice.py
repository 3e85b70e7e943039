"""The hook's `executor`."""

import copy

import pytest
import torch
from torch import nn

import roam_lab as roam
from roam_lab.errors import InputError


def made(**options):
    torch.manual_seed(0)
    model, batch = nn.Linear(4, 3), torch.randn(2, 4)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def loss(model, batch):
        return model(batch).pow(2).mean()

    plan = roam.profile(model, batch, optimizer, loss).plan()
    return roam.hook(plan, model, optimizer, loss, **options), batch


def test_a_step_on_the_cpu_says_that_it_is_no_graph():
    step, batch = made(executor="cuda_graph")
    step(batch)
    step(batch)
    message = "the step is not run as a CUDA graph: the step runs on cpu, and a CUDA graph on CUDA alone"
    assert [note for note in step.notes if "CUDA graph" in note] == [message]
    assert (step.planned_steps, step.eager_steps) == (2, 0)


def test_python_is_the_default_and_says_nothing():
    step, batch = made()
    step(batch)
    assert not [note for note in step.notes if "CUDA graph" in note]


def test_an_unknown_executor_is_one_sentence():
    with pytest.raises(InputError, match=r"^executor is 'tpu'; choose 'python' or 'cuda_graph'$"):
        made(executor="tpu")


def test_a_copy_asks_for_the_same():
    step, batch = made(executor="cuda_graph")
    twin = copy.copy(step)
    twin(batch)
    assert [note for note in twin.notes if "CUDA graph" in note]
