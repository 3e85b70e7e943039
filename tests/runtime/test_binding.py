"""Residents are found where they were, and anew where they are not."""

import weakref

import pytest
import torch
from torch import nn

from roam_lab.capture.inputs import Input
from roam_lab.runtime.binding import Residents
from roam_lab.runtime.model_tree import ModelTree

WEIGHT, MOMENT = Input("parameter", ("weight",)), Input("state", (0, "weight", "exp_avg"))
STEP, RATE = Input("state", (0, "weight", "step")), Input("setting", (0, 0, "lr", None))


@pytest.fixture
def made():
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    return model, optimizer, Residents(ModelTree(model), (optimizer,), (WEIGHT, RATE, MOMENT, STEP))


def test_the_tensors_of_now(made):
    model, optimizer, residents = made
    state = optimizer.state[model.weight]
    for _ in range(2):
        found = residents.find()
        assert found[WEIGHT] is model.weight
        assert found[MOMENT] is state["exp_avg"]
        assert found[STEP] is state["step"]
        assert RATE not in found


def test_what_was_replaced_is_found_anew(made):
    model, optimizer, residents = made
    residents.find()
    state = optimizer.state[model.weight]
    state["exp_avg"] = torch.zeros(2, 3)
    assert residents.find()[MOMENT] is state["exp_avg"]
    optimizer.state = {model.weight: {**state, "exp_avg": torch.ones(2, 3)}}
    assert residents.find()[MOMENT] is optimizer.state[model.weight]["exp_avg"]
    optimizer.param_groups[0]["lr"] = torch.tensor(0.1)
    assert residents.find()[RATE] is optimizer.param_groups[0]["lr"]


def test_what_is_gone_is_named_and_nothing_is_made(made):
    model, optimizer, residents = made
    residents.find()
    optimizer.state.pop(model.weight)
    for _ in range(2):
        with pytest.raises(KeyError, match=r"state 0\.weight"):
            residents.find()
    assert model.weight not in optimizer.state


def test_nothing_is_held_once_forgotten(made):
    model, optimizer, residents = made
    residents.find()
    kept = weakref.ref(optimizer.state[model.weight]["exp_avg"])
    optimizer.state[model.weight]["exp_avg"] = torch.zeros(2, 3)
    assert kept() is not None
    residents.forget()
    assert kept() is None
