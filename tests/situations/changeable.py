"""A model, a criterion and weights with many settings: what the situations change between two steps."""

import contextlib

import torch
from torch import nn

from tests.situations.judge import Situation
from tests.situations.models import data

AT = 2
"""The step after which a change is made; it is undone three steps later where that can be."""


class Lora(nn.Module):
    def __init__(self, base, rank=2):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.a, self.b = nn.Parameter(torch.randn(rank, 12)), nn.Parameter(torch.randn(24, rank) * 0.1)
        self.scaling, self.active, self.merged, self.tags = 2.0, True, False, {"weight": 1.0}

    def forward(self, x):
        out = self.base(x)
        if self.active:
            out = out + self.scaling * self.tags["weight"] * (x @ self.a.T @ self.b.T)
        return out


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lora = Lora(nn.Linear(12, 24))
        self.norm, self.act, self.drop = nn.BatchNorm1d(24), nn.GELU(), nn.Dropout(0.1)
        self.layer, self.head = nn.LayerNorm(24), nn.Linear(24, 4)
        self.parts = [self.act]
        self.function = torch.tanh

    def forward(self, x):
        x = self.layer(self.drop(self.norm(self.lora(x))))
        for part in self.parts:
            x = self.function(part(x))
        return self.head(x)


class Criterion(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.weight = nn.CrossEntropyLoss(label_smoothing=0.0), 1.0

    def forward(self, out, y):
        return self.weight * self.inner(out, y)


class Weights:
    extra = 0.1
    table = {"l2": 1e-3}  # noqa: RUF012 - what users write


GLOBAL_WEIGHT = 1.0


def scale_first(module, args):
    return (args[0] * 1.5,)


def scale_out(module, args, out):
    return out * 1.5


def swap(model, name, new):
    """Puts `new` in the place of a submodule, and takes its parameters from the old one where there are any."""
    old = getattr(model, name)
    with contextlib.suppress(RuntimeError):
        new.load_state_dict(old.state_dict())
    setattr(model, name, new)


def frozen(parameter, on):
    parameter.requires_grad_(on)


def set_global(value):
    global GLOBAL_WEIGHT
    GLOBAL_WEIGHT = value


def make(kind=torch.optim.SGD):
    model, criterion, weights, weight = Net(), Criterion(), Weights(), {"aux": 0.1, "parts": [1.0, 0.5]}
    Weights.extra = 0.1
    Weights.table = {"l2": 1e-3}
    set_global(1.0)

    def loss(model, batch):
        out = model(batch[0])
        value = GLOBAL_WEIGHT * criterion(out, batch[1])
        value = value + weights.extra * out.square().mean() + weight["aux"] * weight["parts"][1] * out.abs().mean()
        return value + weights.table["l2"] * model.head.weight.square().sum()

    rest = [p for p in model.parameters() if p.requires_grad]
    given = {"momentum": 0.9} if kind is torch.optim.SGD else {"foreach": False}
    optimizer = kind([{"params": rest[:4]}, {"params": rest[4:], "weight_decay": 0.1}], lr=1e-2, **given)
    return Situation(
        model, optimizer, data(), loss, others={"criterion": criterion, "weights": weights, "weight": weight}
    )
