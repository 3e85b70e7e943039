"""Tensors that are in no single storage: a hooked step with one runs eagerly, and raises nothing."""

import copy

import pytest
import torch
from torch import nn

import roam_lab as roam


def nested(layout):
    return torch.nested.nested_tensor([torch.ones(2, 4), torch.ones(3, 4)], layout=layout)


def joined(one):
    return torch.cat(one.unbind())


BATCHES = {
    "nested": (lambda: nested(torch.strided), joined),
    "jagged": (lambda: nested(torch.jagged), joined),
    "CSR": (lambda: torch.eye(4).to_sparse_csr(), torch.Tensor.to_dense),
    "COO": (lambda: torch.eye(4).to_sparse(), torch.Tensor.to_dense),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("inside", [False, True], ids=["batch", "inside"])
@pytest.mark.parametrize("kind", BATCHES)
def test_the_step_runs_eagerly(kind, inside):
    make, dense = BATCHES[kind]

    def step(model, optimizer, batch):
        loss = model(dense(make() if inside else batch)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    twin = copy.deepcopy(model)
    optimizer, twins = (torch.optim.SGD(one.parameters(), lr=0.1) for one in (model, twin))
    hook = roam.hook(model, optimizer, step=step, cache=False)
    for _ in range(3):
        batch = torch.ones(2, 4) if inside else make()
        assert torch.equal(hook(batch), step(twin, twins, batch))
    assert all(map(torch.equal, model.parameters(), twin.parameters()))
    assert (hook.planned_steps, hook.eager_steps) == (0, 3)
