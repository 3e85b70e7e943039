"""Powers of numbers that change from step to step, negative ones included."""

import copy

import pytest
import torch
from torch import nn

import roam_lab as roam

before = torch.SymFloat.__pow__


class Tracker:
    """The loss's running mean and variance, in floats, and a factor of the loss that `power` makes of them."""

    def __init__(self, power):
        self.power, self.mean, self.spread, self.count = power, 0.0, 1.0, 3

    def step(self, model, optimizer, batch):
        loss = model(batch).square().mean()
        now = loss.item()
        self.spread = 0.9 * self.spread + 0.1 * self.power(self, now - self.mean)
        self.mean, self.count = 0.5 * self.mean + 0.5 * now, self.count - 1
        (loss * (1 + self.spread)).backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()


@pytest.mark.parametrize(
    "power",
    [
        lambda _, off: off**2,
        lambda _, off: off**3.0,
        lambda _, off: (off - 9) ** -1,
        lambda tracker, off: off * tracker.count**2,
        lambda tracker, off: off * (tracker.count - 0.5) ** -2,
        lambda tracker, off: pow(abs(off), 0.5) + tracker.spread**0.5,
    ],
    ids=["square", "cube", "inverse", "count", "inverse square", "root"],
)
def test_powers_are_those_of_the_eager_step(power):
    torch.manual_seed(0)
    model = nn.Linear(6, 4)
    twin = copy.deepcopy(model)
    ours, eager = Tracker(power), Tracker(power)
    optimizers = [torch.optim.SGD(one.parameters(), lr=0.1) for one in (model, twin)]
    hook = roam.hook(model, optimizers[0], step=ours.step, check="never")
    for batch in torch.randn(6, 5, 6):
        assert torch.equal(hook(batch), eager.step(twin, optimizers[1], batch))
        assert (ours.mean, ours.spread, ours.count) == (eager.mean, eager.spread, eager.count)
    assert all(map(torch.equal, model.parameters(), twin.parameters()))
    assert hook.planned_steps == 6, hook.reasons
    assert torch.SymFloat.__pow__ is before
