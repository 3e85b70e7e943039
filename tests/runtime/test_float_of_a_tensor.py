"""`float(tensor)` is a number that each step reads anew, as `tensor.item()` is."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import roam_lab as roam


def trained(step, hooked, steps=12):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    log = []
    function = step(log)
    run = roam.hook(model, optimizer, step=function, check="never", cache=False) if hooked else None
    for index in range(steps):
        batch = torch.randn(4, 6, generator=torch.Generator().manual_seed(index)), torch.arange(4)
        log.append(run(batch) if run else function(model, optimizer, batch))
    return [*log, *model.state_dict().values()], run


def equal(one, other):
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other and type(one) is type(other)


def logs(log):
    def step(model, optimizer, batch):
        loss = cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        log.append(float(loss))
        return float(loss) / 2 + float("1.5") + float(3)

    return step


def uses_the_class(log):
    def step(model, optimizer, batch):
        loss = cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        assert isinstance(float(batch[1].shape[0]), float)
        return loss * torch.ones((), dtype=float)

    return step


def test_a_logged_loss():
    eager, _ = trained(logs, hooked=False)
    planned, hooked = trained(logs, hooked=True)
    assert all(map(equal, eager, planned))
    assert hooked.planned_steps == 12
    assert len(hooked._compiled) == 1


def test_float_as_a_class_is_left_alone():
    eager, _ = trained(uses_the_class, hooked=False)
    planned, hooked = trained(uses_the_class, hooked=True)
    assert all(map(equal, eager, planned))
    assert hooked.planned_steps == 12
