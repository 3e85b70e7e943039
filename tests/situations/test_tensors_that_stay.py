"""Tensors that a step leaves for the next one, or for the user; weights made before forward."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from tests.situations.judge import GRADIENTS, HONEST, PLANNED, Situation, compare
from tests.situations.models import classifier, data, inputs, mlp, sgd, slow_unless

CROSS = nn.functional.cross_entropy


STATEFUL = ["closure dict", "module attribute", "trainer attribute", "module list"]


@pytest.mark.parametrize("where", STATEFUL)
def test_hidden_state_from_step_to_step(where):
    """Truncated backpropagation through time: the hidden state of one step starts the next."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = nn.GRU(12, 8, batch_first=True), nn.Linear(8, 4)
            self.hidden, self.kept = None, []

    class Trainer:
        def __init__(self):
            self.hidden = torch.zeros(1, 4, 8)
            self.kept = {"h": torch.zeros(1, 4, 8)}

        def __call__(self, model, optimizer, x):
            if where == "closure dict":
                start = self.kept["h"]
            elif where == "trainer attribute":
                start = self.hidden
            elif where == "module list":
                start = model.kept[-1] if model.kept else None
            else:
                start = model.hidden
            out, hidden = model.rnn(x, start)
            if where == "closure dict":
                self.kept["h"] = hidden.detach()
            elif where == "trainer attribute":
                self.hidden = hidden.detach()
            elif where == "module list":
                model.kept.append(hidden.detach())
            else:
                model.hidden = hidden.detach()
            loss = model.head(out).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss.detach()

    def make():
        model = Net()
        return Situation(model, sgd(model), inputs(6, (4, 5, 12)), step=Trainer())

    compare(make).must_be(HONEST)


@pytest.mark.parametrize("kept", ["activation", "auxiliary loss", "hook dict", "last gradient", "attention list"])
def test_tensors_left_for_the_user(kept):
    """What forward or a hook leaves in an attribute is that of the last step, not of the captured one."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.aux, self.seen = mlp(), 0.0, []

        def forward(self, x):
            h = self.net[0](x)
            if kept == "activation":
                self.last = h.detach()
            elif kept == "auxiliary loss":
                self.aux = h.square().mean()
            elif kept == "attention list":
                self.seen = [h.detach().softmax(-1)]
            return self.net[2](self.net[1](h))

    def make():
        model, features = Net(), {}
        if kept == "hook dict":
            model.net[0].register_forward_hook(lambda m, i, out: features.__setitem__("h", out.detach()))
        if kept == "last gradient":
            model.net[0].register_full_backward_hook(lambda m, i, out: features.__setitem__("g", out[0].norm()))

        def loss(model, batch):
            return CROSS(model(batch[0]), batch[1]) + 0.1 * model.aux

        return classifier(model, loss=loss, extra=lambda: dict(features))

    compare(make).must_be(HONEST)


def hooked_weight_norm():
    model = mlp()
    nn.utils.weight_norm(model[0])
    return model


def hooked_spectral_norm():
    model = mlp()
    nn.utils.spectral_norm(model[0])
    return model


def parametrized(kind):
    def build():
        model = mlp()
        getattr(nn.utils.parametrizations, kind)(model[0])
        return model

    return build


def pruned():
    model = mlp()
    prune.random_unstructured(model[0], "weight", 0.3)
    return model


WRAPPED = {
    "weight_norm by hook": hooked_weight_norm,
    "spectral_norm by hook": hooked_spectral_norm,
    "weight_norm": parametrized("weight_norm"),
    "spectral_norm": parametrized("spectral_norm"),
    "orthogonal": parametrized("orthogonal"),
    "pruned": pruned,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", WRAPPED)
def test_weights_made_before_forward(kind):
    slow_unless(kind in ("weight_norm by hook", "spectral_norm by hook", "spectral_norm"))
    compare(lambda: classifier(WRAPPED[kind]())).must_be(HONEST)


def test_two_weights_exchanged():
    """Parameters of two modules change places within the step."""

    def make():
        model = nn.ModuleList([nn.Linear(12, 4), nn.Linear(12, 4)])

        def step(model, optimizer, batch):
            loss = CROSS(model[0](batch[0]) + 0.1 * model[1](batch[0]), batch[1])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            model[0].weight.data, model[1].weight.data = model[1].weight.data, model[0].weight.data
            return loss.detach()

        return Situation(model, sgd(model), data(), step=step)

    compare(make).must_be(HONEST)


def test_gradients_assigned():
    """`p.grad = ...` by torch.autograd.grad, and clipped by assignment."""

    def step(model, optimizer, batch):
        loss = CROSS(model(batch[0]), batch[1])
        params = list(model.parameters())
        for p, g in zip(params, torch.autograd.grad(loss, params), strict=True):
            p.grad = g / (1 + g.norm())
        optimizer.step()
        for p in params:
            p.grad = None
        return loss.detach()

    compare(lambda: classifier(step=step)).must_be(HONEST)


def test_parameters_without_an_optimizer():
    """`p.data -= lr * p.grad`, and a parameter of the closure updated by hand."""

    def make():
        weight = torch.ones(4, requires_grad=True)

        def step(model, optimizer, batch):
            loss = CROSS(model(batch[0]) * weight, batch[1])
            loss.backward()
            optimizer.step()
            weight.data = weight.data - 0.1 * weight.grad
            weight.grad = None
            optimizer.zero_grad()
            return loss.detach()

        return classifier(step=step, others={"weight": weight})

    compare(make).must_be(HONEST)


ATTRIBUTES = ["bound anew", "summed in place", "counted", "scales", "of a buffer", "deleted"]


@pytest.mark.parametrize(("how", "check"), [*((how, "never") for how in ATTRIBUTES), ("bound anew", "first")])
def test_attributes_of_parameters(how, check):
    """What a user has hung on a parameter: a gradient in float32 (Megatron), a scale of its rate, a curvature."""

    def make():
        model = nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))
        for index, p in enumerate(model.parameters()):
            p.noted, p.steps, p.scale = torch.zeros_like(p), 0, 1.0 - index / 8
        model[1].running_mean.seen = 0

        def step(model, optimizer, batch):
            loss = CROSS(model(batch[0]), batch[1])
            optimizer.zero_grad()
            loss.backward()
            for p in model.parameters():
                if how == "bound anew":
                    p.noted = p.grad.detach().abs()
                elif how == "summed in place":
                    p.noted.add_(p.grad)
                    p.grad.copy_(p.noted).mul_(0.5)
                elif how == "counted":
                    p.steps += 1
                elif how == "scales":
                    p.grad.mul_(getattr(p, "scale", 1.0))
            if how == "of a buffer":
                model[1].running_mean.seen += 1
            elif how == "deleted" and hasattr(model[0].weight, "scale"):
                del model[0].weight.scale
            optimizer.step()
            return loss.detach()

        return Situation(model, sgd(model), data(), step=step)

    def between(made, index):
        made.model[0].bias.scale = 0.5 + index / 4

    verdict = compare(make, between=between, ignore=GRADIENTS, check=check)
    verdict.must_be(HONEST if how in ("deleted", "of a buffer") else PLANNED)


@pytest.mark.parametrize("given", [2.0, [1, 2]])
def test_attributes_of_the_batch(given):
    """A weight that only some batches carry, as an attribute of their inputs."""

    def make():
        batches = data(4)
        batches[1][0].weight = batches[3][0].weight = given

        def loss(model, batch):
            factor = getattr(batch[0], "weight", 1.0)
            return CROSS(model(batch[0]), batch[1]) * (factor if isinstance(factor, float) else len(factor))

        model = mlp()
        return Situation(model, sgd(model), batches, loss)

    compare(make, variants=2).must_be(PLANNED if given == 2.0 else HONEST)
