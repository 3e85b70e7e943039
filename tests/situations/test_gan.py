"""Generator and critic with an optimizer each: given as a tuple, planned; one not given, named and refused."""

import pytest
import torch
from torch import nn

from tests.situations.judge import HONEST, PLANNED, REFUSED, Situation, compare
from tests.situations.models import inputs

OPTIM = torch.optim


class Gan(nn.Module):
    def __init__(self):
        super().__init__()
        self.g = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 12))
        self.d = nn.Sequential(nn.Linear(12, 24), nn.LeakyReLU(0.2), nn.Linear(24, 1))


def gan_losses(model, real):
    ones, zeros = torch.ones(real.shape[0], 1), torch.zeros(real.shape[0], 1)
    fake = model.g(torch.randn(real.shape[0], 8))
    bce = nn.functional.binary_cross_entropy_with_logits
    return (
        lambda: bce(model.d(real), ones) + bce(model.d(fake.detach()), zeros),
        lambda: bce(model.d(fake), ones),
    )


def gan_step(model, optimizers, real):
    opt_g, opt_d = optimizers
    critic, generator = gan_losses(model, real)
    opt_d.zero_grad()
    loss_d = critic()
    loss_d.backward()
    opt_d.step()
    opt_g.zero_grad()
    loss_g = generator()
    loss_g.backward()
    opt_g.step()
    opt_g.zero_grad()
    opt_d.zero_grad()
    return loss_g.detach() + loss_d.detach()


def gan_dict_step(model, optimizers, real):
    """The dict of losses that trainers return."""
    opt_g, opt_d = optimizers
    critic, generator = gan_losses(model, real)
    losses = {}
    for name, loss, optimizer in (("d", critic, opt_d), ("g", generator, opt_g)):
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses[name] = value.detach()
    opt_g.zero_grad()
    opt_d.zero_grad()
    return {"loss": losses["d"] + losses["g"], **losses}


def frozen_critic_step(model, optimizers, real):
    """requires_grad switched off and on within the step, as CycleGAN's authors do."""
    opt_g, opt_d = optimizers
    critic, generator = gan_losses(model, real)
    for p in model.d.parameters():
        p.requires_grad_(False)
    opt_g.zero_grad()
    loss_g = generator()
    loss_g.backward()
    opt_g.step()
    for p in model.d.parameters():
        p.requires_grad_(True)
    opt_d.zero_grad()
    loss_d = critic()
    loss_d.backward()
    opt_d.step()
    opt_g.zero_grad()
    opt_d.zero_grad()
    return loss_g.detach()


def penalty_step(model, optimizers, real):
    """WGAN-GP: the penalty is a gradient of a gradient."""
    opt_g, opt_d = optimizers
    fake = model.g(torch.randn(real.shape[0], 8))
    mixed = torch.rand(real.shape[0], 1) * (real - fake.detach()) + fake.detach()
    mixed.requires_grad_(True)
    slope = torch.autograd.grad(model.d(mixed).sum(), mixed, create_graph=True)[0]
    loss_d = model.d(fake.detach()).mean() - model.d(real).mean() + 10 * (slope.norm(dim=1) - 1).square().mean()
    opt_d.zero_grad()
    loss_d.backward()
    opt_d.step()
    loss_g = -model.d(fake).mean()
    opt_g.zero_grad()
    loss_g.backward()
    opt_g.step()
    opt_g.zero_grad()
    opt_d.zero_grad()
    return loss_g.detach()


def clipped_weights_step(model, optimizers, real):
    """WGAN: weights clamped after the critic's step."""
    value = gan_step(model, optimizers, real)
    for p in model.d.parameters():
        p.data.clamp_(-0.05, 0.05)
    return value


def gan(step, kinds=(OPTIM.Adam, OPTIM.Adam), **given):
    def make():
        model = Gan()
        pair = kinds[0](model.g.parameters(), lr=2e-3), kinds[1](model.d.parameters(), lr=1e-3)
        return Situation(model, pair, inputs(), step=step, **given)

    return make


@pytest.mark.parametrize(
    "step",
    [gan_step, gan_dict_step, frozen_critic_step, penalty_step, clipped_weights_step],
    ids=lambda f: f.__name__,
)
def test_gan_with_two_optimizers_given(step):
    honest = step in (frozen_critic_step, gan_dict_step)  # a step gives back its loss alone so far
    compare(gan(step)).must_be(HONEST if honest else PLANNED)


@pytest.mark.parametrize(
    "kinds",
    [(OPTIM.RMSprop, OPTIM.SGD), (OPTIM.AdamW, OPTIM.Adagrad)],
    ids=lambda kinds: "-".join(kind.__name__ for kind in kinds),
)
def test_gan_with_optimizers_of_different_kinds(kinds):
    compare(gan(gan_step, kinds)).must_be(PLANNED)


def test_gan_from_a_fake_profile():
    compare(gan(gan_step), fake=True).must_be(PLANNED)


def test_generator_every_second_step():
    """A counter in the closure decides whether the generator is updated."""

    def make():
        seen = [0]

        def step(model, optimizers, real):
            opt_g, opt_d = optimizers
            critic, generator = gan_losses(model, real)
            loss = critic()
            opt_d.zero_grad()
            loss.backward()
            opt_d.step()
            seen[0] += 1
            if seen[0] % 2 == 0:
                opt_g.zero_grad()
                generator().backward()
                opt_g.step()
            opt_g.zero_grad()
            opt_d.zero_grad()
            return loss.detach()

        return gan(step)()

    compare(make, steps=7, variants=2).must_be(HONEST)


@pytest.mark.parametrize("where", ["closure", "model", "object", "list", "global"])
def test_an_optimizer_that_was_not_given_is_named(where):
    def make():
        model = Gan()
        opt_g = OPTIM.Adam(model.g.parameters(), lr=2e-3)
        opt_d = OPTIM.RMSprop(model.d.parameters(), lr=1e-3)

        class Trainer:
            def __init__(self):
                self.opt_d = opt_d if where == "object" else None

            def __call__(self, model, optimizer, real):
                found = {"object": lambda: self.opt_d, "model": lambda: model.opt, "list": lambda: held[0]}
                other = found.get(where, lambda: HELD["d"] if where == "global" else opt_d)()
                return gan_step(model, (optimizer, other), real)

        held = [opt_d]
        HELD["d"] = opt_d
        if where == "model":
            model.opt = opt_d
        return Situation(model, opt_g, inputs(), step=Trainer(), others={"opt_d": opt_d})

    verdict = compare(make).must_be(REFUSED)
    assert "steps a RMSprop that was not given" in verdict.why


HELD = {}


def test_an_optimizer_that_was_not_given_is_named_where_state_is_there():
    """After an eager step: the other optimizer has its state, which would be baked in as constants."""

    def make():
        model = Gan()
        opt_g, opt_d = OPTIM.Adam(model.g.parameters()), OPTIM.NAdam(model.d.parameters())

        def step(model, optimizer, real):
            return gan_step(model, (optimizer, opt_d), real)

        step(model, opt_g, inputs()[0])
        return Situation(model, opt_g, inputs(), step=step, others={"opt_d": opt_d})

    assert "NAdam" in compare(make).must_be(REFUSED).why
