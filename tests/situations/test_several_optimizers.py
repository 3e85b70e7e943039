"""Several optimizers over one model: Muon beside AdamW, shared parameters, subsets, two steps in one."""

import copy
import math

import pytest
import torch
from torch import nn

from tests.situations.judge import GRADIENTS, HONEST, PLANNED, REFUSED, Situation, compare
from tests.situations.models import data, inputs, mlp

OPTIM = torch.optim


def test_an_optimizer_that_was_not_given_over_parameters_outside_the_model():
    """A learned temperature beside the model, with an optimizer of its own (soft actor-critic)."""

    def make():
        model = mlp()
        log_alpha = torch.zeros((), requires_grad=True)
        other = OPTIM.Adam([log_alpha], lr=1e-2)

        def step(model, optimizer, batch):
            loss = nn.functional.cross_entropy(model(batch[0]) * log_alpha.exp(), batch[1])
            loss.backward()
            optimizer.step()
            other.step()
            optimizer.zero_grad()
            other.zero_grad()
            return loss.detach()

        return Situation(
            model, OPTIM.SGD(model.parameters(), lr=0.1), data(), step=step, others={"o": other, "a": log_alpha}
        )

    assert "Adam" in compare(make).must_be(REFUSED).why


def test_the_same_with_the_optimizer_given():
    def make():
        model = mlp()
        log_alpha = torch.zeros((), requires_grad=True)
        pair = OPTIM.SGD(model.parameters(), lr=0.1), OPTIM.Adam([log_alpha], lr=1e-2)

        def step(model, optimizers, batch):
            loss = nn.functional.cross_entropy(model(batch[0]) * log_alpha.exp(), batch[1])
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            return loss.detach()

        return Situation(model, pair, data(), step=step, others={"log_alpha": log_alpha})

    compare(make).must_be(HONEST)


class SmallMuon(OPTIM.Optimizer):
    """Momentum made orthogonal by five Newton-Schulz steps in bfloat16."""

    def __init__(self, params, lr=0.02, momentum=0.95):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "buffer" not in state:
                    state["buffer"] = torch.zeros_like(p)
                state["buffer"].lerp_(p.grad, 1 - group["momentum"])
                x = p.grad.lerp(state["buffer"], group["momentum"]).bfloat16()
                tall = x.size(0) > x.size(1)
                x = x.mT if tall else x
                x = x / (x.norm() + 1e-7)
                for _ in range(5):
                    a = x @ x.mT
                    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
                x = (x.mT if tall else x).to(p.dtype)
                p.add_(x, alpha=-group["lr"] * math.sqrt(max(1, p.size(0) / p.size(1))))


def matrices(model):
    return [p for p in model.parameters() if p.ndim == 2], [p for p in model.parameters() if p.ndim != 2]


def each_step(model, optimizers, batch):
    loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
    for optimizer in optimizers:
        optimizer.zero_grad()
    return loss.detach()


@pytest.mark.parametrize("muon", ["torch", "small"])
def test_muon_beside_adamw(muon):
    if muon == "torch" and not hasattr(OPTIM, "Muon"):
        pytest.skip(f"torch {torch.__version__} has no Muon")

    def make():
        model = mlp()
        two, rest = matrices(model)
        first = OPTIM.Muon(two, lr=0.02) if muon == "torch" else SmallMuon(two)
        return Situation(model, (first, OPTIM.AdamW(rest, lr=1e-2)), data(), step=each_step)

    compare(make).must_be(PLANNED)


def test_muon_in_a_closure_is_named():
    def make():
        model = mlp()
        two, rest = matrices(model)
        muon = SmallMuon(two)

        def step(model, optimizer, batch):
            return each_step(model, (muon, optimizer), batch)

        return Situation(model, OPTIM.AdamW(rest), data(), step=step, others={"muon": muon})

    assert "Muon" in compare(make).must_be(REFUSED).why


@pytest.mark.parametrize("given", ["tuple", "list"])
def test_two_optimizers_with_the_default_step(given):
    """No step of the user's own: both step after the backward pass, both clear their gradients."""

    def make():
        model = mlp()
        pair = OPTIM.SGD(model[0].parameters(), lr=0.1, momentum=0.9), OPTIM.AdamW(model[2].parameters(), lr=1e-2)
        return Situation(model, pair if given == "tuple" else list(pair), data(), nn.CrossEntropyLoss())

    compare(make).must_be(PLANNED if given == "tuple" else HONEST)


def test_two_optimizers_over_one_model():
    """The same parameters in both, at different learning rates."""

    def make():
        model = mlp()
        pair = OPTIM.SGD(model.parameters(), lr=0.1), OPTIM.AdamW(model.parameters(), lr=1e-3)
        return Situation(model, pair, data(), step=each_step)

    compare(make).must_be(HONEST)


def test_learning_rates_of_both_change():
    def between(made, i):
        for factor, optimizer in zip((0.9, 0.5), made.optimizer, strict=True):
            optimizer.param_groups[0]["lr"] *= factor

    def make():
        model = mlp()
        pair = OPTIM.SGD(model[0].parameters(), lr=0.1), OPTIM.AdamW(model[2].parameters(), lr=1e-2)
        return Situation(model, pair, data(), step=each_step)

    compare(make, between=between).must_be(PLANNED)


def test_stepped_twice_in_a_step():
    def step(model, optimizer, batch):
        for half in (slice(0, 4), slice(4, 8)):
            loss = nn.functional.cross_entropy(model(batch[0][half]), batch[1][half])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    def make():
        model = mlp()
        return Situation(model, OPTIM.AdamW(model.parameters(), lr=1e-2), data(), step=step)

    compare(make).must_be(HONEST)


def test_over_some_of_the_parameters():
    """Gradients of the others pile up, since nobody clears them."""

    def make():
        model = mlp()
        return Situation(model, OPTIM.AdamW(model[2].parameters(), lr=1e-2), data(), nn.CrossEntropyLoss())

    compare(make, ignore=GRADIENTS).must_be(HONEST)


@pytest.mark.parametrize("clears", ["model", "optimizer"])
def test_over_frozen_rest(clears):
    def step(model, optimizer, batch):
        loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        (model if clears == "model" else optimizer).zero_grad()
        return loss.detach()

    def make():
        model = mlp()
        model[0].requires_grad_(False)
        return Situation(model, OPTIM.AdamW(model[2].parameters(), lr=1e-2), data(), step=step)

    compare(make).must_be(PLANNED)


@pytest.mark.parametrize("check", ["first", "never"])
def test_given_but_never_stepped(check):
    def step(model, optimizers, batch):
        return each_step(model, optimizers[:1], batch)

    def make():
        model = mlp()
        pair = OPTIM.AdamW(model[0].parameters(), lr=1e-2), OPTIM.AdamW(model[2].parameters(), lr=1e-2)
        return Situation(model, pair, data(), step=step)

    compare(make, check=check).must_be(HONEST)


@pytest.mark.parametrize("check", ["first", "never"])
def test_a_slow_optimizer_on_the_sum_of_gradients(check):
    """The body is stepped in every third call, on what three calls have left."""

    def make():
        model, at = mlp(), {"step": 0}
        pair = OPTIM.AdamW(model[2].parameters(), lr=1e-2), OPTIM.SGD(model[0].parameters(), lr=0.05)

        def step(model, optimizers, batch):
            at["step"] += 1
            loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
            loss.backward()
            for optimizer in optimizers if at["step"] % 3 == 0 else optimizers[:1]:
                optimizer.step()
                optimizer.zero_grad()
            return loss.detach()

        return Situation(model, pair, data(), step=step, others={"at": at})

    compare(make, 7, variants=3, check=check).must_be(HONEST)


@pytest.mark.parametrize("check", ["first", "never"])
@pytest.mark.parametrize("dampening", [0.0, 0.3])
def test_from_one_optimizer_to_another(dampening, check):
    """SWATS: Adam first, then SGD, which has no state before its own first step."""

    def make():
        model, at = mlp(), {"step": 0}
        later = OPTIM.SGD(model.parameters(), lr=0.05, momentum=0.9, dampening=dampening)

        def step(model, optimizers, batch):
            at["step"] += 1
            return each_step(model, optimizers[:1] if at["step"] < 4 else optimizers[1:], batch)

        return Situation(model, (OPTIM.AdamW(model.parameters(), lr=1e-2), later), data(), step=step, others={"at": at})

    compare(make, 7, variants=2, check=check).must_be(HONEST if dampening else PLANNED)


def test_actor_critic_with_a_soft_target():
    """Two models in one module, a target network moved in place, two optimizers."""

    class Agent(nn.Module):
        def __init__(self):
            super().__init__()
            self.actor, self.critic = mlp(out=2), nn.Linear(14, 1)
            self.target = copy.deepcopy(self.critic).requires_grad_(False)

    def step(agent, optimizers, x):
        actor, critic = optimizers
        with torch.no_grad():
            goal = x.mean(1, keepdim=True) + 0.9 * agent.target(torch.cat([x, agent.actor(x)], 1))
        loss = (agent.critic(torch.cat([x, agent.actor(x).detach()], 1)) - goal).square().mean()
        critic.zero_grad()
        loss.backward()
        critic.step()
        policy = -agent.critic(torch.cat([x, agent.actor(x)], 1)).mean()
        actor.zero_grad()
        policy.backward()
        actor.step()
        actor.zero_grad()
        critic.zero_grad()
        with torch.no_grad():
            for slow, fast in zip(agent.target.parameters(), agent.critic.parameters(), strict=True):
                slow.data.mul_(0.95)
                slow.data.add_(0.05 * fast.data)
        return loss.detach()

    def make():
        agent = Agent()
        pair = OPTIM.Adam(agent.actor.parameters(), lr=1e-3), OPTIM.Adam(agent.critic.parameters(), lr=1e-3)
        return Situation(agent, pair, inputs(), step=step)

    compare(make).must_be(PLANNED)
