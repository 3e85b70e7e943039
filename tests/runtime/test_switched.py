"""Steps that switch `requires_grad`: it is left as the eager step leaves it, and the graph is the eager step's."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import roam_lab as roam


def make():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
    return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def update(model, optimizer, batch):
    loss = cross_entropy(model(batch[0]), batch[1])
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


def unfreezes(model):
    model[0].requires_grad_(False)
    count = [0]

    def step(model, optimizer, batch):
        if count[0] == 2:
            for parameter in model[0].parameters():
                parameter.requires_grad = True
        count[0] += 1
        return update(model, optimizer, batch)

    return step, model


def as_a_gan(model):
    """The last layer is frozen when the step is over."""

    def step(model, optimizer, batch):
        model[2].requires_grad_(True)
        loss = update(model, optimizer, batch)
        model[2].requires_grad_(False)
        return loss + update(model, optimizer, batch)

    return step, model


def by_a_list(model):
    """The parameters are switched by a list that was made before the hook."""
    first = list(model[0].parameters())

    def step(model, optimizer, batch):
        for parameter in first:
            parameter.requires_grad_(False)
        loss = update(model, optimizer, batch)
        for parameter in first:
            parameter.requires_grad = not parameter.requires_grad
        return loss + update(model, optimizer, batch)

    return step, model


def of_a_critic(model):
    critic = nn.Linear(4, 1)

    def step(model, optimizer, batch):
        critic.requires_grad_(False)
        loss = critic(model(batch[0])).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return step, nn.ModuleList([model, critic])


@pytest.mark.filterwarnings("ignore:a training step ran eagerly")
@pytest.mark.parametrize(
    ("kind", "check"),
    [*((kind, "never") for kind in (unfreezes, as_a_gan, by_a_list, of_a_critic)), (by_a_list, "first"),
     (of_a_critic, "first")],
)  # fmt: skip
def test_it_is_left_as_eagerly(kind, check):
    left = []
    for hooked in (False, True):
        model, optimizer = make()
        step, whole = kind(model)
        run = roam.hook(model, optimizer, step=step, check=check, cache=False) if hooked else None
        for index in range(5):
            generator = torch.Generator().manual_seed(index)
            batch = (torch.randn(4, 6, generator=generator), torch.arange(4))
            loss = run(batch) if run else step(model, optimizer, batch)
            left.append((loss, [(one.clone(), one.requires_grad) for one in whole.parameters()]))
    assert run.planned_steps >= 4
    for (loss, parameters), (other, others) in zip(left[:5], left[5:], strict=True):
        assert torch.equal(loss, other)
        for (one, needs), (another, switched) in zip(parameters, others, strict=True):
            assert torch.equal(one, another)
            assert needs == switched
