"""What a step has written before it turns out to go another way is put back."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import roam_lab as roam
from roam_lab.capture.inputs import Input
from roam_lab.runtime.undo import Undo


def undo(*undone, otherwise=("the step takes another way",)):
    return Undo(SimpleNamespace(otherwise=otherwise, undone=undone, draws_before_check=True))


def test_tensors_of_every_kind_and_the_random_state():
    buffer, outside, leaf = torch.zeros(3), torch.zeros(3), torch.zeros(3)
    found = undo(Input("buffer", ("seen",)), outside, Input("batch", (1,)))
    found.note({Input("buffer", ("seen",)): buffer}, {Input("batch", (1,)): leaf})
    state = torch.get_rng_state()
    for tensor in (buffer, outside, leaf):
        tensor.add_(1)
    torch.rand(3)
    found.put_back()
    assert all(torch.equal(tensor, torch.zeros(3)) for tensor in (buffer, outside, leaf))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_parameter_is_put_back_where_it_lies():
    parameter = nn.Parameter(torch.ones(2))
    address = parameter.data_ptr()
    found = undo(Input("parameter", ("p",)))
    found.note({Input("parameter", ("p",)): parameter}, {})
    with torch.no_grad():
        parameter.mul_(3)
    found.put_back()
    assert torch.equal(parameter, torch.ones(2))
    assert (parameter.data_ptr(), parameter.requires_grad, parameter.is_leaf) == (address, True, True)


def test_what_is_forgotten_is_not_put_back():
    tensor = torch.zeros(2)
    found = undo(tensor)
    found.note({}, {})
    found.forget()
    tensor.add_(1)
    found.put_back()
    assert torch.equal(tensor, torch.ones(2))


def test_the_last_note_counts():
    tensor = torch.zeros(2)
    found = undo(tensor)
    for _ in range(2):
        found.note({}, {})
        tensor.add_(1)
    found.put_back()
    assert torch.equal(tensor, torch.ones(2))


def test_nothing_is_copied_where_no_condition_stands_inside():
    tensor = torch.zeros(2)
    found = undo(tensor, otherwise=())
    found.note({}, {})
    state = torch.get_rng_state()
    tensor.add_(1)
    torch.rand(1)
    found.put_back()
    assert torch.equal(tensor, torch.ones(2))
    assert not torch.equal(torch.get_rng_state(), state)


class Counting(nn.Module):
    """Counts its forward passes in a buffer, and drops values, before the step branches on its gradient."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(40, 40)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen.add_(1)
        return torch.dropout(self.linear(x), 0.1, True)


def skipping(model, optimizer, batch):
    """As a GradScaler: no update where the gradient is not finite."""
    loss = model(batch).pow(2).mean()
    loss.backward()
    norm = sum(p.grad.pow(2).sum() * 1.0 for p in model.parameters() for _ in range(8))
    if torch.isfinite(norm):
        optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


@pytest.mark.filterwarnings("ignore:a training step ran eagerly")
@pytest.mark.parametrize(("check", "eager"), [("never", 2), ("first", 0)])
def test_a_step_that_turns_out_to_go_another_way(check, eager):
    """Counted once, drawn once: what the eager step leaves, bit for bit."""
    torch.manual_seed(0)
    model = Counting()
    twin = copy.deepcopy(model)
    one, other = (torch.optim.SGD(each.parameters(), lr=0.1, momentum=0.9) for each in (model, twin))
    good, bad = torch.randn(6, 40), torch.full((6, 40), 1e30)
    plan = roam.profile(model, good, one, step=skipping).plan()
    planned = roam.hook(plan, model, one, step=skipping, check=check)
    for batch in (good, good, bad, good, bad, bad, good):
        state = torch.get_rng_state()
        expected = skipping(twin, other, batch)
        after = torch.get_rng_state()
        torch.set_rng_state(state)
        assert torch.equal(planned(batch), expected)
        assert torch.equal(torch.get_rng_state(), after)
        assert all(map(torch.equal, model.state_dict().values(), twin.state_dict().values()))
    assert model.seen == 7
    assert (planned.planned_steps, planned.eager_steps) == (7 - eager, eager), planned.reasons  # one leads each way
    assert len(planned._compiled) == 2
