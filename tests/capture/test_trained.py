"""The parameters of a step: the model's, and those that an optimizer holds beside them."""

import pytest
import torch
from torch import nn

from roam_lab.capture.trained import held_beside, parameter_names, trained_parameters
from roam_lab.errors import CaptureError


def test_names_are_places():
    model, first, second = nn.Linear(2, 2), nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(4))
    one = torch.optim.SGD([{"params": model.parameters()}, {"params": [first]}], lr=0.1)
    assert held_beside(model, (one,)) == {"param_groups[1].params[0]": first}
    other = torch.optim.SGD([second, first], lr=0.1)
    names = [*dict(model.named_parameters()), "optimizers[0].param_groups[1].params[0]"]
    names.append("optimizers[1].param_groups[0].params[0]")  # `first` has a name already
    assert list(trained_parameters(model, (one, other))) == names
    assert parameter_names(model, (one, other))[id(second)] == names[-1]


def test_an_optimizer_without_the_models_parameters():
    model, prompt = nn.Linear(2, 2), nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([prompt], lr=0.1)
    with pytest.raises(CaptureError, match="that are not the model's, the first of shape"):
        parameter_names(model, (optimizer,))
    model.requires_grad_(False)  # a prompt is trained, the model is not
    assert parameter_names(model, (optimizer,))[id(prompt)] == "param_groups[0].params[0]"
    prompt.requires_grad_(False)
    with pytest.raises(CaptureError, match="no parameter of the optimizer is trainable"):
        parameter_names(model, (optimizer,))


def test_beside_a_model_of_several_ranks(monkeypatch):
    model, scale = nn.Linear(2, 2), nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([*model.parameters(), scale], lr=0.1)
    assert id(scale) in parameter_names(model, (optimizer,))
    monkeypatch.setattr("roam_lab.capture.trained.by_several_ranks", lambda _: True)
    with pytest.raises(CaptureError, match="that are not the model's"):
        parameter_names(model, (optimizer,))
