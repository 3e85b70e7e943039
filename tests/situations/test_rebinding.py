"""Steps that put another tensor where one was: buffers, optimizer state, parameters; SAM."""

import pytest
import torch
from torch import nn

from tests.situations.judge import GRADIENTS, HONEST, PLANNED, compare
from tests.situations.models import classifier, mlp, slow_unless

CROSS = nn.functional.cross_entropy


class Center(nn.Module):
    """DINO's centre, kept as a buffer that is assigned."""

    def __init__(self, way):
        super().__init__()
        self.net, self.way = mlp(), way
        self.register_buffer("center", torch.zeros(1, 4))
        self.plain = torch.zeros(1, 4)

    def forward(self, x):
        h = self.net(x)
        mean = h.detach().mean(0, keepdim=True)
        if self.way == "assign":
            self.center = self.center * 0.9 + mean * 0.1
        elif self.way == "setattr":
            setattr(self, "center", self.center * 0.9 + mean * 0.1)  # noqa: B010 - what users write
        elif self.way == "buffers dict":
            self._buffers["center"] = self.center * 0.9 + mean * 0.1
        elif self.way == "register":
            self.register_buffer("center", self.center * 0.9 + mean * 0.1)
        elif self.way == "data":
            self.center.data = self.center * 0.9 + mean * 0.1
        elif self.way == "set_":
            self.center.set_(self.center * 0.9 + mean * 0.1)
        elif self.way == "attribute":
            self.plain = self.plain * 0.9 + mean * 0.1
        elif self.way == "augmented":
            self.center *= 0.9
            self.center += mean * 0.1
        return h - self.center - self.plain


@pytest.mark.parametrize(
    "way", ["assign", "setattr", "buffers dict", "register", "data", "set_", "attribute", "augmented"]
)
def test_buffers_and_attributes(way):
    compare(lambda: classifier(Center(way))).must_be(PLANNED if way == "augmented" else HONEST)


class Rebinding(torch.optim.Optimizer):
    """Momentum whose state, or whose parameter, is a new tensor in every step."""

    def __init__(self, params, way, lr=0.05):
        super().__init__(params, {"lr": lr})
        self.way = way

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                m = state.get("m", torch.zeros_like(p))
                if self.way == "state":
                    m = state["m"] = 0.9 * m + p.grad
                    p.sub_(m, alpha=group["lr"])
                elif self.way == "whole state":
                    self.state[p] = {"m": 0.9 * m + p.grad}
                    p.sub_(self.state[p]["m"], alpha=group["lr"])
                elif self.way == "swapped":
                    state["m"], state["old"] = 0.9 * m + p.grad, m
                    p.sub_(state["m"] - 0.1 * state["old"], alpha=group["lr"])
                elif self.way == "param data":
                    state["m"] = m.mul_(0.9).add_(p.grad)
                    p.data = p.data - group["lr"] * m
                elif self.way == "param set_":
                    state["m"] = m.mul_(0.9).add_(p.grad)
                    p.set_(p - group["lr"] * m)
                elif self.way == "state in a list":
                    state.setdefault("last", []).append(p.grad.clone())
                    state["last"] = state["last"][-2:]
                    p.sub_(sum(state["last"]), alpha=group["lr"])


@pytest.mark.parametrize("way", ["state", "whole state", "swapped", "param data", "param set_", "state in a list"])
@pytest.mark.parametrize("warm", [False, True], ids=["fresh", "after a step"])
def test_optimizers_that_rebind(way, warm):
    slow_unless(not warm or way == "state")

    def make():
        model = mlp()
        made = classifier(model, Rebinding(model.parameters(), way))
        if warm:
            made.eager(made.batch(5))
        return made

    compare(make).must_be(HONEST)


class Sam(torch.optim.Optimizer):
    """Climbs by rho along the gradient, takes the gradient there, steps from the old place."""

    def __init__(self, params, base, back, rho=0.05, **given):
        super().__init__(params, {"rho": rho, **given})
        self.base, self.back = base(self.param_groups, **given), back
        self.param_groups = self.base.param_groups

    def all(self):
        return [p for group in self.param_groups for p in group["params"] if p.grad is not None]

    @torch.no_grad()
    def first_step(self):
        norm = torch.stack([p.grad.norm() for p in self.all()]).norm()
        for p in self.all():
            climb = p.grad * (self.param_groups[0]["rho"] / (norm + 1e-12))
            self.state[p]["old"] = climb if self.back == "sub" else p.data.clone()
            p.add_(climb)
        self.zero_grad()

    @torch.no_grad()
    def second_step(self):
        for p in self.all():
            if self.back == "data":
                p.data = self.state[p]["old"]
            elif self.back == "copy":
                p.copy_(self.state[p]["old"])
            else:
                p.sub_(self.state[p]["old"])
        self.base.step()
        self.zero_grad()

    def step(self, closure=None):
        with torch.enable_grad():
            closure()
        self.first_step()
        with torch.enable_grad():
            closure()
        self.second_step()


@pytest.mark.parametrize("back", ["data", "copy", "sub"])
@pytest.mark.parametrize("warm", [False, True], ids=["fresh", "after a step"])
@pytest.mark.parametrize("base", [torch.optim.SGD, torch.optim.AdamW], ids=lambda k: k.__name__)
def test_sharpness_aware(back, warm, base):
    slow_unless(base is torch.optim.SGD and (warm or back == "data"))

    def step(model, optimizer, batch):
        loss = CROSS(model(batch[0]), batch[1])
        loss.backward()
        optimizer.first_step()
        CROSS(model(batch[0]), batch[1]).backward()
        optimizer.second_step()
        return loss.detach()

    def make():
        model = mlp()
        given = {"momentum": 0.9} if base is torch.optim.SGD else {}
        optimizer = Sam(model.parameters(), base, back, lr=0.05, **given)
        made = classifier(model, optimizer, step=step, others={"base": optimizer.base})
        if warm:
            made.eager(made.batch(5))
        return made

    compare(make).must_be(HONEST)


def test_sharpness_aware_by_closure():
    def step(model, optimizer, batch):
        def closure():
            loss = CROSS(model(batch[0]), batch[1])
            loss.backward()
            return loss.detach()

        optimizer.step(closure)
        return closure_free(model, batch)

    def closure_free(model, batch):
        with torch.no_grad():
            return CROSS(model(batch[0]), batch[1])

    def make():
        model = mlp()
        optimizer = Sam(model.parameters(), torch.optim.SGD, "data", lr=0.05, momentum=0.9)
        return classifier(model, optimizer, step=step, others={"base": optimizer.base})

    compare(make).must_be(HONEST)


def test_adversarial_weights_or_embeddings():
    """FGM: the embedding is moved along its gradient, and put back from a backup of `.data`."""

    def step(model, optimizer, batch):
        loss = CROSS(model(batch[0]), batch[1])
        loss.backward()
        weight = model[0].weight
        backup = weight.data.clone()
        weight.data.add_(0.5 * weight.grad / weight.grad.norm())
        CROSS(model(batch[0]), batch[1]).backward()
        weight.data = backup
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    compare(lambda: classifier(step=step)).must_be(HONEST)


SHARED = ("tie", "exchange", "average", "views", "of the state", "outside", "two outside")


@pytest.mark.parametrize("way", [*SHARED, "a copy outside", "one of two views"])
def test_data_that_is_shared_from_then_on(way):
    """Both tensors change with one write: of the optimizer, or of the user between the steps."""

    def make():
        model = nn.Sequential(nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 12), nn.Linear(12, 4))
        out, other = torch.zeros(12, 12), torch.zeros(12, 12)

        def step(model, optimizer, batch):
            loss = CROSS(model(batch[0]), batch[1])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            p, q = model[0].weight, model[2].weight
            mean = (p.data + q.data) / 2
            two = torch.stack([p.data, q.data]) * 0.9
            if way == "tie":
                q.data = p.data
            elif way == "exchange":
                p.data, q.data = q.data, p.data
            elif way == "average":
                p.data, q.data = mean, mean
            elif way == "views":
                p.data, q.data = two
            elif way == "one of two views":
                p.data = two[0]
            elif way == "of the state":
                q.data = optimizer.state[p]["momentum_buffer"]
            elif way == "outside":
                out.data = p.data
            elif way == "two outside":
                out.data, other.data = mean, mean
            elif way == "a copy outside":
                out.data = p.data.clone()
            return loss.detach()

        return classifier(model, step=step, others={"out": out, "other": other})

    def between(made, _):
        made.others["out"].add_(0.1)
        made.others["other"].add_(0.2)

    verdict = compare(make, between=between, ignore=GRADIENTS).must_be(HONEST if way in SHARED else PLANNED)
    assert (".data the tensor that is also " in verdict.why) == (way in SHARED)
