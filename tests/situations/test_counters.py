"""Counters of every kind that a step moves on, whether it reads them or not."""

import collections
import dataclasses
import hashlib
import itertools
import math
import mmap

import numpy
import pytest
import torch
from torch import nn

from tests.situations.judge import HONEST, Situation, compare
from tests.situations.models import classifier, inputs, mlp, sgd, slow_unless

CROSS = nn.functional.cross_entropy


STEP = 0


@dataclasses.dataclass
class Progress:
    epoch: int = 0
    seen: int = 0
    best: float = math.inf


class Slots:
    __slots__ = ("n", "total")

    def __init__(self):
        self.n, self.total = 0, 0.0


class Config:
    steps = 0


class WithProperty:
    def __init__(self):
        self._n = 0

    @property
    def n(self):
        return self._n

    def advance(self):
        self._n += 1


def counter(kind, model):
    """A function that counts and returns the count, starting with 1."""
    global STEP
    STEP, Config.steps = 0, 0
    progress, slots, counts, held = Progress(), Slots(), collections.defaultdict(int), WithProperty()
    numbers, tally, array, one = itertools.count(1), collections.Counter(), numpy.zeros(2), [0]
    namespace = {"opt": {"nested": [0]}}
    n, attribute = 0, iter(range(1, 100))
    mapped, view, seen = mmap.mmap(-1, 8), memoryview(bytearray(8)), hashlib.sha256()

    def by_generator():
        at = 0
        while True:
            at += 1
            yield at

    generator = by_generator()

    def count():
        global STEP
        nonlocal n
        if kind == "nonlocal":
            n += 1
            return n
        if kind == "global":
            STEP += 1
            return STEP
        if kind == "list":
            one[0] += 1
            return one[0]
        if kind == "dataclass":
            progress.seen += 1
            return progress.seen
        if kind == "slots":
            slots.n += 1
            return slots.n
        if kind == "class attribute":
            Config.steps += 1
            return Config.steps
        if kind == "defaultdict":
            counts["steps"] += 1
            return counts["steps"]
        if kind == "Counter":
            tally["steps"] += 1
            return tally["steps"]
        if kind == "itertools.count":
            return next(numbers)
        if kind == "iterator":
            return next(attribute)
        if kind == "generator":
            return next(generator)
        if kind == "numpy":
            array[0] += 1
            return float(array[0])
        if kind == "mapped memory":
            mapped[0] += 1
            return mapped[0]
        if kind == "view of bytes":
            view[0] += 1
            return view[0]
        if kind == "hash":
            seen.update(b"one more")
            return seen.digest()[0]
        if kind == "nested":
            namespace["opt"]["nested"][0] += 1
            return namespace["opt"]["nested"][0]
        if kind == "property":
            held.advance()
            return held.n
        if kind == "function attribute":
            count.n = getattr(count, "n", 0) + 1
            return count.n
        if kind == "length of a list":
            one.append(0)
            return len(one) - 1
        if kind == "module attribute":
            model.n = getattr(model, "n", 0) + 1
            return model.n
        if kind == "submodule attribute":
            model[0].n = getattr(model[0], "n", 0) + 1
            return model[0].n
        assert kind == "tensor in a closure"
        return progress_tensor.add_(1)

    progress_tensor = torch.zeros(())
    return count


COUNTERS = [
    "nonlocal", "global", "list", "dataclass", "slots", "class attribute", "defaultdict", "Counter", "itertools.count",
    "iterator", "generator", "numpy", "nested", "property", "function attribute", "length of a list",
    "module attribute", "submodule attribute", "tensor in a closure", "mapped memory", "view of bytes", "hash",
]  # fmt: skip


@pytest.mark.parametrize("kind", COUNTERS)
@pytest.mark.parametrize("read", [True, False], ids=["read", "unread"])
def test_counters(kind, read):
    """A counter that weighs the loss, or that only counts."""
    slow_unless(read or kind in ("global", "module attribute", "itertools.count"))

    def make():
        model = mlp()
        count = counter(kind, model)

        def loss(model, batch):
            n = count()
            weight = n / 4 if read else 1.0
            return CROSS(model(batch[0]), batch[1]) * weight

        return classifier(model, loss=loss)

    compare(make).must_be(HONEST)


@pytest.mark.parametrize("kind", ["global", "dataclass", "module attribute", "itertools.count"])
def test_counters_that_branch(kind):
    """Every third step is another one: a regulariser that is seldom taken."""

    def make():
        model = mlp()
        count = counter(kind, model)

        def loss(model, batch):
            value = CROSS(model(batch[0]), batch[1])
            if count() % 3 == 0:
                value = value + 0.1 * sum(p.square().sum() for p in model.parameters())
            return value

        return classifier(model, loss=loss)

    compare(make, steps=8, variants=2).must_be(HONEST)


class Vae(nn.Module):
    """The weight of the divergence grows with a counter of the module."""

    def __init__(self, how):
        super().__init__()
        self.enc, self.dec, self.seen, self.how = nn.Linear(12, 8), nn.Linear(4, 12), 0, how
        self.beta = 0.0

    def forward(self, x):
        mean, log = self.enc(x).chunk(2, -1)
        z = mean + torch.randn_like(mean) * (0.5 * log).exp()
        if self.training and self.how == "counter":
            self.seen += 1
            self.beta = min(1.0, self.seen / 4)
        kl = -0.5 * (1 + log - mean.square() - log.exp()).sum(-1).mean()
        loss = (self.dec(z) - x).square().sum(-1).mean() + self.beta * kl
        if self.how == "after":
            self.beta = min(1.0, self.beta + 0.25)
        return loss


@pytest.mark.parametrize("how", ["counter", "after", "from outside"])
def test_annealed_weights(how):
    def make():
        model = Vae(how)
        return Situation(model, sgd(model), inputs())

    def between(made, i):
        if how == "from outside":
            made.model.beta = min(1.0, i / 4)

    compare(make, steps=7, between=between).must_be(HONEST)


def test_annealed_temperature():
    """Gumbel softmax whose temperature is multiplied in every forward pass."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.tau = mlp(), 2.0

        def forward(self, x):
            self.tau = max(0.5, self.tau * 0.9)
            return nn.functional.gumbel_softmax(self.net(x), tau=self.tau)

    compare(lambda: classifier(Net())).must_be(HONEST)
