"""Python branches on values: masks, distributions, LayerDrop, early exits, first-batch set-up."""

import random

import pytest
import torch
from torch import nn

from tests.situations.judge import HONEST, PLANNED, Situation, compare
from tests.situations.models import adamw, classifier, data, inputs, mlp, slow_unless, stepping

CROSS = nn.functional.cross_entropy


def with_bad(batches, index, change):
    batches = list(batches)
    batches[index] = change(*batches[index])
    return batches


class Attention(nn.Module):
    """A mask that is dropped when it is all ones, as in transformers' masking."""

    def __init__(self):
        super().__init__()
        self.qkv, self.out = nn.Linear(12, 36), nn.Linear(12, 4)

    def forward(self, x, mask, y):
        q, k, v = (t.unflatten(-1, (2, 6)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        causal = bool(mask.all())
        wide = None if causal else mask[:, None, None, :].bool() & torch.ones(6, 6, dtype=torch.bool).tril()
        seen = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=wide, is_causal=causal)
        return CROSS(self.out(seen.transpose(1, 2).flatten(2)).mean(1), y)


def masked(padded):
    """Batches of (x, mask, y); those at the places in `padded` have masks with zeros."""
    batches = []
    for i, x in enumerate(inputs(6, (4, 6, 12))):
        mask = torch.ones(4, 6, dtype=torch.long)
        if i in padded:
            mask[1, 4:] = 0
            mask[2, 2:] = 0
        batches.append((x, mask, torch.arange(4)))
    return batches


@pytest.mark.parametrize("padded", [(), (2, 3, 5), (0, 1), range(6)], ids=["ones", "later", "first", "always"])
def test_attention_masks(padded):
    def make():
        model = Attention()
        return Situation(model, adamw(model), masked(padded))

    compare(make, steps=9, variants=2 if 0 < len(padded) < 6 else 1).must_be(PLANNED)


def test_encoder_layer_with_padding():
    """nn.TransformerEncoder looks whether the padding mask has a padded place."""

    def make():
        layer = nn.TransformerEncoderLayer(12, 2, 24, batch_first=True, dropout=0.0)
        model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=True)

        def loss(model, batch):
            return model(batch[0], src_key_padding_mask=batch[1] == 0).square().mean()

        return Situation(model, adamw(model), masked((2, 3)), loss)

    compare(make, steps=7, variants=2).must_be(HONEST)


def normal(h):
    return torch.distributions.Normal(h[:, :2], nn.functional.softplus(h[:, 2:]) + 1e-3)


def by_rsample(h, y):
    found = normal(h)
    drawn = found.rsample()
    return found.log_prob(drawn).mean() + drawn.square().mean()


def by_kl(h, y):
    prior = torch.distributions.Normal(torch.zeros(8, 2), torch.ones(8, 2))
    return torch.distributions.kl_divergence(normal(h), prior).mean()


def by_categorical(h, y):
    found = torch.distributions.Categorical(logits=h)
    return -found.log_prob(y).mean() - 0.01 * found.entropy().mean()


def by_sampled_actions(h, y):
    found = torch.distributions.Categorical(logits=h)
    return -(found.log_prob(found.sample()) * y).mean()


def by_bernoulli(h, y):
    return -torch.distributions.Bernoulli(probs=h.sigmoid()).log_prob((h > 0).float()).mean()


def by_multivariate(h, y):
    scale = torch.diag_embed(nn.functional.softplus(h[:, 2:]) + 0.1)
    return -torch.distributions.MultivariateNormal(h[:, :2], scale_tril=scale).log_prob(torch.zeros(8, 2)).mean()


def by_beta(h, y):
    found = torch.distributions.Beta(h[:, 0].exp(), h[:, 1].exp())
    return -found.log_prob(found.rsample().clamp(0.01, 0.99)).mean()


DISTRIBUTIONS = [by_rsample, by_kl, by_categorical, by_sampled_actions, by_bernoulli, by_multivariate, by_beta]


@pytest.mark.parametrize("density", DISTRIBUTIONS, ids=lambda f: f.__name__)
def test_distributions_with_validation(density):
    slow_unless(density not in (by_beta, by_bernoulli))

    def make():
        return classifier(loss=lambda model, batch: density(model(batch[0]), batch[1]))

    compare(make).must_be(HONEST if density in (by_beta, by_multivariate) else PLANNED)


def test_distributions_refuse_values_as_eager_does():
    def make():
        return classifier(
            loss=lambda model, batch: by_categorical(model(batch[0]), batch[1]),
            batches=with_bad(data(), 2, lambda x, y: (x, y + 4)),
        )

    compare(make, steps=5, variants=2, raises=ValueError).must_be(PLANNED)


class LayerDrop(nn.Module):
    """The second layer is left out at random."""

    def __init__(self, draw):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(12, 24), nn.Linear(24, 24), nn.Linear(24, 4)
        self.draw = draw

    def forward(self, x):
        h = self.first(x).tanh()
        if self.draw() < 0.5 and self.training:
            h = h + self.second(h).tanh()
        return self.last(h)


DRAWS = {
    "torch.rand": lambda: torch.rand([]),
    "torch.rand item": lambda: torch.rand(1).item(),
    "torch.bernoulli": lambda: torch.empty(1).bernoulli_(0.5),
    "random.random": random.random,
    "random.uniform": lambda: random.uniform(0, 1),
}


@pytest.mark.parametrize("draw", DRAWS)
def test_layer_drop(draw):
    def make():
        model = LayerDrop(DRAWS[draw])
        return classifier(model)

    right = PLANNED if draw.startswith("torch") else HONEST
    compare(make, steps=10, variants=2).must_be(right)


def test_exit_by_a_threshold():
    """Inner rounds until the change is small; at most four."""

    def loss(model, batch):
        h = batch[0]
        for _ in range(4):
            after = torch.tanh(model(h))
            if (after - h).abs().max() < 0.9:
                break
            h = after
        return after.square().mean()

    def make():
        model = nn.Linear(12, 12)
        return classifier(
            model, loss=loss, batches=[(x * s, y) for (x, y), s in zip(data(), (3, 3, 1, 3, 1, 1), strict=True)]
        )

    compare(make, steps=9, variants=4).must_be(PLANNED)


def test_early_stop_by_divergence():
    """PPO: several epochs on one batch, ended when the policy has moved too far."""

    def step(model, optimizer, batch):
        x, actions = batch
        with torch.no_grad():
            old = torch.log_softmax(model(x), -1).gather(1, actions[:, None])
        for _ in range(3):
            new = torch.log_softmax(model(x), -1).gather(1, actions[:, None])
            if (old - new).mean().item() < -0.02:
                break
            ratio = (new - old).exp()
            loss = -torch.min(ratio, ratio.clamp(0.8, 1.2)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    # the condition stands behind the first update: it cannot be known before anything has changed
    compare(lambda: classifier(step=step), steps=8, variants=3).must_be(HONEST)


@pytest.mark.parametrize("kind", ["RAdam", "NAdam", "ASGD", "Rprop", "Adadelta"])
def test_optimizers_that_branch_on_their_step(kind):
    """RAdam's rho_t is above 5 from the sixth step on."""

    def make():
        model = mlp()
        return classifier(model, getattr(torch.optim, kind)(model.parameters(), lr=1e-2, foreach=False))

    compare(make, steps=9, variants=2).must_be(PLANNED if kind == "RAdam" else HONEST)


class ActNorm(nn.Module):
    """Set from the first batch: a buffer says whether it was."""

    def __init__(self, item):
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(12)), nn.Parameter(torch.zeros(12))
        self.register_buffer("ready", torch.tensor(0))
        self.head, self.item = nn.Linear(12, 4), item

    def forward(self, x):
        if (self.ready.item() if self.item else self.ready) == 0:
            with torch.no_grad():
                self.shift.copy_(-x.mean(0))
                self.scale.copy_(1 / (x.std(0) + 1e-6))
                self.ready.fill_(1)
        return self.head((x + self.shift) * self.scale)


@pytest.mark.parametrize("item", [True, False], ids=["item", "bool"])
def test_set_from_the_first_batch(item):
    compare(lambda: classifier(ActNorm(item)), steps=6, variants=2).must_be(PLANNED)


def test_cumulative_batch_norm():
    """momentum=None: the factor is 1 / num_batches_tracked, a number read from a tensor."""

    def make():
        return classifier(nn.Sequential(nn.Linear(12, 6), nn.BatchNorm1d(6, momentum=None), nn.Linear(6, 4)))

    compare(make, steps=6).must_be(HONEST)


def test_averaged_model():
    """AveragedModel branches on its counter, a tensor; its average is in place."""

    def make():
        model = mlp()
        average = torch.optim.swa_utils.AveragedModel(model)
        step = stepping(lambda loss: average.update_parameters(model))
        return classifier(model, step=step, others={"average": average})

    compare(make, steps=6, variants=2).must_be(HONEST)


def test_dead_codes_are_restarted():
    """VQ: codebook by moving averages; codes that nobody uses are set anew, seldom."""

    class Vq(nn.Module):
        def __init__(self):
            super().__init__()
            self.enc, self.dec = nn.Linear(12, 6), nn.Linear(6, 12)
            self.register_buffer("codes", torch.randn(8, 6))
            self.register_buffer("usage", torch.ones(8))

        def forward(self, x):
            z = self.enc(x)
            index = torch.cdist(z, self.codes).argmin(1)
            with torch.no_grad():
                hot = nn.functional.one_hot(index, 8).type_as(z)
                self.usage.mul_(0.7).add_(hot.sum(0), alpha=0.3)
                self.codes.lerp_(hot.T @ z / self.usage[:, None].clamp(min=0.1), 0.1)
                if (self.usage < 0.2).any():
                    self.codes.copy_(torch.where(self.usage[:, None] < 0.2, z[torch.randint(0, 8, (8,))], self.codes))
                    self.usage.clamp_(min=0.5)
            q = self.codes[index]
            return (self.dec(z + (q - z).detach()) - x).square().mean() + 0.25 * (z - q).square().mean()

    def make():
        model = Vq()
        return Situation(model, adamw(model), inputs())

    # the usage has changed before it is asked for
    compare(make, steps=10, variants=2).must_be(HONEST)


BY_VALUE = {
    "boolean index": lambda m, x, y: CROSS(m(x)[y > 0], y[y > 0]),
    "nonzero": lambda m, x, y: CROSS(m(x[(y > 0).nonzero()[:, 0]]), y[(y > 0).nonzero()[:, 0]]),
    "unique": lambda m, x, y: sum(m(x[y == c].sum(0)).square().mean() for c in torch.unique(y)),
    "loop to a number": lambda m, x, y: sum(m(x * (i + 1)).mean() for i in range(int(y.max()) + 1)),
    "slice to a number": lambda m, x, y: m(x[: int(y[0]) + 1]).square().mean(),
    "factor by item": lambda m, x, y: m(x).square().mean() * (1 + y[0].item()),
    "float of a mean": lambda m, x, y: m(x).square().mean() / float(x.abs().mean()),
    "experts by any": lambda m, x, y: sum(m(x * e).square().mean() for e in range(4) if (y == e).any()),
    "format": lambda m, x, y: CROSS(m(x), y) + 0 * len(f"{y.max():d}"),
    "one hot": lambda m, x, y: (m(x)[:, : int(y.max()) + 1] - nn.functional.one_hot(y)).square().mean(),
}


@pytest.mark.parametrize("kind", BY_VALUE)
def test_shapes_and_numbers_by_value(kind):
    def loss(model, batch):
        return BY_VALUE[kind](model, *batch)

    compare(lambda: classifier(loss=loss), steps=6).must_be(HONEST)
