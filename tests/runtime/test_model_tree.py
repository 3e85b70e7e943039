"""The modules of a model, walked again when one is replaced."""

import pytest
import torch
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


def test_parameters_that_only_an_optimizer_holds():
    model, first, second = nn.Linear(2, 2), nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(4))
    optimizer = torch.optim.SGD([{"params": [*model.parameters(), first]}], lr=0.1)
    tree = ModelTree(model, optimizer)
    walks, modes = tree.walks, tree.modes()
    assert tree.tensor("param_groups[0].params[2]") is first
    assert any(one is first for one in tree.parameters())
    first.requires_grad_(False)
    assert tree.modes() != modes
    tree.refresh()
    assert tree.walks == walks
    optimizer.param_groups[0]["params"][2] = second
    tree.refresh()
    assert tree.tensor("param_groups[0].params[2]") is second
    with pytest.raises(KeyError):
        tree.tensor("param_groups[0].params[3]")
    optimizer.add_param_group({"params": [first]})
    tree.refresh()
    assert tree.tensor("param_groups[1].params[0]") is first
    weight = model.weight
    model.weight = nn.Parameter(torch.ones(2, 2))  # nothing tells the tree
    tree.refresh()
    assert tree.tensor("param_groups[0].params[0]") is weight
