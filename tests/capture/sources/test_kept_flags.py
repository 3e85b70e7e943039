"""Flags that a step keeps: what they were is a condition, and what they become is written back."""

import copy

import pytest
import torch
from torch import nn

import roam_lab as roam
from tests.twins import sampled


class Loop:
    """A step with a counter, a flag, and the best loss so far; `factor(loop)` sets the flag before the loss."""

    def __init__(self, factor):
        self.factor, self.count, self.flag, self.best, self.log = factor, 0, False, 1e9, {"late": False}

    def step(self, model, optimizer, batch):
        self.count += 1
        loss = model(batch).square().mean() * self.factor(self)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        now = loss.item()
        if self.factor is improved:
            self.flag = now < self.best * 0.9
        self.best = min(self.best, now)
        return loss.detach()


def improved(loop):
    return 2.0 if loop.flag else 1.0


def late(loop):
    loop.flag = loop.count >= 4
    return 1.0


def read_first(loop):
    factor = 2.0 if loop.flag else 1.0
    loop.flag = loop.count >= 4
    return factor


def by_turns(loop):
    loop.flag = not loop.flag
    return 2.0 if loop.flag is True else 1.0


def in_a_dict(loop):
    loop.log["late"] = loop.count % 2 == 0
    return 1.0


@pytest.mark.parametrize("check", [pytest.param("first", marks=pytest.mark.slow), "never"])
@pytest.mark.parametrize("factor", sampled([improved, late, read_first, by_turns, in_a_dict], 3))
def test_a_flag_that_flips_is_a_way_of_its_own(factor, check):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 6))
    twin = copy.deepcopy(model)
    loops = Loop(factor), Loop(factor)
    ours, eager = (torch.optim.SGD(one.parameters(), lr=0.1) for one in (model, twin))
    hook = roam.hook(model, ours, step=loops[0].step, check=check)
    for batch in torch.randn(8, 5, 6):
        assert torch.equal(hook(batch), loops[1].step(twin, eager, batch))
        assert vars(loops[0]) == vars(loops[1])
        assert type(loops[0].flag) is bool
    assert hook.planned_steps == 8, hook.reasons
    assert all(map(torch.equal, model.parameters(), twin.parameters()))
