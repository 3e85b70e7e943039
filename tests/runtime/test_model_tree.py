"""The modules of a model, walked again when one is replaced."""

import pytest
from torch import nn

from roam_lab.runtime.model_tree import ModelTree


def test_tensors_are_those_of_today():
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.BatchNorm1d(2)))
    tree = ModelTree(model)
    assert tree.tensor("0.weight") is model[0].weight
    assert tree.tensor("1.0.running_mean") is model[1][0].running_mean
    model[0].weight = nn.Parameter(model[0].weight.detach().clone())
    assert tree.tensor("0.weight") is model[0].weight
    for replaced in (nn.Linear(2, 2), nn.Linear(2, 2)):
        model[0] = replaced
        tree.refresh()
        assert tree.tensor("0.weight") is replaced.weight
        assert tree.holds(replaced)
    for gone in ("2.weight", "0.wait", "1.0.running_mode"):
        with pytest.raises(KeyError):
            tree.tensor(gone)
    model[0].bias = None
    with pytest.raises(KeyError):
        tree.tensor("0.bias")


def test_modes():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    tree = ModelTree(model)
    training = tree.modes()
    model[1].eval()
    assert tree.modes() != training
    model[1].train()
    model[0].weight.requires_grad_(False)
    assert tree.modes() != training
    model[0].weight.requires_grad_(True)
    assert tree.modes() == training
    model.append(nn.Linear(2, 2))
    tree.refresh()
    assert tree.modes() != training
