"""Random numbers of torch, NumPy and Python that a step draws: the same ones, and as many, as in eager."""

import random

import numpy
import pytest
import torch
from torch import nn

from tests.situations.judge import HONEST, PLANNED, compare
from tests.situations.models import classifier, mlp, slow_unless

CROSS = nn.functional.cross_entropy


def mixed(model, batch, weight, order):
    x, y = batch
    out = model(weight * x + (1 - weight) * x[order])
    return weight * CROSS(out, y) + (1 - weight) * CROSS(out, y[order])


def attention(h):
    return nn.functional.scaled_dot_product_attention(h, h, h, dropout_p=0.3)


def with_dropout(model, batch):
    return CROSS(nn.functional.dropout(model(batch[0]), 0.3), batch[1])


IN_TORCH = {
    "dropout": with_dropout,
    "noise": lambda m, b: CROSS(m(b[0] + torch.randn_like(b[0])), b[1]),
    "permutation": lambda m, b: mixed(m, b, 0.7, torch.randperm(8)),
    "multinomial": lambda m, b: CROSS(m(b[0])[torch.multinomial(torch.ones(8), 4)], b[1][:4]),
    "time steps": lambda m, b: (m(b[0] * torch.randint(1, 10, (8, 1)) / 10)).square().mean(),
    "beta": lambda m, b: mixed(m, b, torch.distributions.Beta(0.4, 0.4).sample(), torch.arange(7, -1, -1)),
    "gumbel": lambda m, b: CROSS(nn.functional.gumbel_softmax(m(b[0]), hard=True), b[1]),
    "dirichlet": lambda m, b: (m(b[0]) * torch.distributions.Dirichlet(torch.ones(4)).sample()).square().mean(),
    "rrelu": lambda m, b: CROSS(nn.functional.rrelu(m(b[0]), training=True), b[1]),
    "alpha dropout": lambda m, b: CROSS(nn.functional.alpha_dropout(m(b[0]), 0.2, training=True), b[1]),
    "attention dropout": lambda m, b: attention(m(b[0])[None]).mean(),
    "init in the step": lambda m, b: CROSS(m(b[0]) @ nn.init.normal_(torch.empty(4, 4)), b[1]),
}  # fmt: skip


@pytest.mark.parametrize("kind", IN_TORCH)
def test_drawn_by_torch(kind):
    slow_unless(kind not in ("dirichlet", "alpha dropout", "rrelu", "init in the step", "gumbel"))
    compare(lambda: classifier(loss=IN_TORCH[kind])).must_be(PLANNED if kind in ("dropout", "noise") else HONEST)


OUTSIDE = {
    "mixup by NumPy": lambda m, b: mixed(m, b, numpy.random.beta(0.4, 0.4), torch.randperm(8)),
    "mixup with NumPy's order": lambda m, b: mixed(m, b, 0.7, torch.from_numpy(numpy.random.permutation(8))),
    "noise by NumPy": lambda m, b: CROSS(m(b[0] + torch.from_numpy(numpy.random.randn(8, 12)).float()), b[1]),
    "factor by random": lambda m, b: CROSS(m(b[0] * random.uniform(0.5, 1.5)), b[1]),
    "flip by random": lambda m, b: CROSS(m(b[0].flip(1) if random.random() < 0.5 else b[0]), b[1]),
    "choice by random": lambda m, b: CROSS(m(b[0])[random.sample(range(8), 4)], b[1][:4]),
    "size by random": lambda m, b: m(b[0])[: random.randint(2, 8)].square().mean(),
    "cut by NumPy": lambda m, b: m(b[0])[:, int(numpy.random.randint(0, 3)) :].square().mean(),
    "drawn and not used": lambda m, b: CROSS(m(b[0]), b[1]) + 0 * random.random(),
}


@pytest.mark.parametrize("kind", OUTSIDE)
def test_drawn_by_numpy_or_python(kind):
    compare(lambda: classifier(loss=OUTSIDE[kind])).must_be(HONEST)


GENERATORS = {
    "torch": lambda: torch.Generator().manual_seed(7),
    "NumPy": lambda: numpy.random.default_rng(7),
    "NumPy, old": lambda: numpy.random.RandomState(7),
    "Python": lambda: random.Random(7),
}


@pytest.mark.parametrize("kind", GENERATORS)
@pytest.mark.parametrize("where", ["closure", "model"])
def test_generators_of_the_users_own(kind, where):
    slow_unless(where == "closure")

    def make():
        model, generator = mlp(), GENERATORS[kind]()
        if where == "model":
            model.generator = generator

        def loss(model, batch):
            source = model.generator if where == "model" else generator
            if kind == "torch":
                factor = torch.rand((), generator=source)
            else:
                factor = source.random_sample() if kind == "NumPy, old" else source.random()
            return CROSS(model(batch[0] * factor), batch[1])

        drawn = (lambda: {"state": str(generator.get_state())}) if kind == "NumPy, old" else dict
        return classifier(model, loss=loss, extra=drawn)

    compare(make).must_be(HONEST)


@pytest.mark.parametrize("how", ["seeded in the step", "forked", "state put back"])
def test_states_set_within_the_step(how):
    def loss(model, batch):
        if how == "seeded in the step":
            torch.manual_seed(5)
            return with_dropout(model, batch)
        if how == "forked":
            with torch.random.fork_rng():
                torch.manual_seed(6)
                noise = torch.randn(8, 4)
            return CROSS(model(batch[0]) + noise, batch[1])
        kept = torch.get_rng_state()
        first = with_dropout(model, batch)
        torch.set_rng_state(kept)
        return first + with_dropout(model, batch)

    compare(lambda: classifier(loss=loss)).must_be(HONEST)


def test_numbers_drawn_between_steps():
    """The user draws, too: a data loader shuffles, an evaluation samples."""

    def between(made, i):
        torch.rand(3), random.random(), numpy.random.rand()

    compare(lambda: classifier(loss=with_dropout), between=between).must_be(PLANNED)


def test_seeded_between_steps():
    def between(made, i):
        torch.manual_seed(i)

    compare(lambda: classifier(loss=with_dropout), between=between).must_be(PLANNED)
