"""Steps with effects beside training: averages, schedulers, logs, counters, iterators, random numbers, hooks."""

import collections
import copy
import itertools
import random

import numpy
import torch
from torch import nn

from tests.situations.judge import Situation
from tests.situations.models import adamw, data, mlp, sgd

CROSS = nn.functional.cross_entropy


TOTAL = 0


class Ema:
    def __init__(self, model):
        self.model, self.n = copy.deepcopy(model).requires_grad_(False), 0
        self.shadow = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model):
        self.n += 1
        for slow, fast in zip(self.model.parameters(), model.parameters(), strict=True):
            slow.lerp_(fast, 0.1)
        for name, p in model.named_parameters():
            self.shadow[name] = self.shadow[name] * 0.9 + p.detach() * 0.1


def ema():
    model = mlp()
    average = Ema(model)
    step = around(after=lambda: average.update(model))
    return Situation(model, sgd(model), data(), step=step, others={"ema": average})


def around(after=lambda: None, before=lambda: None):
    def step(model, optimizer, batch):
        before()
        loss = CROSS(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        after()
        return loss.detach()

    return step


def scheduler():
    model = mlp()
    optimizer = sgd(model)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=50)
    return Situation(model, optimizer, data(), step=around(plan.step), others={"scheduler": plan})


def logs():
    model, log, counts, last = mlp(), [], collections.defaultdict(int), collections.deque(maxlen=2)

    def step(model, optimizer, batch):
        loss = CROSS(model(batch[0]), batch[1])
        loss.backward()
        log.append(loss.item())
        last.append(loss.detach())
        counts["steps"] += 1
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return Situation(model, sgd(model), data(), step=step)


def counters():
    global TOTAL
    TOTAL = 0
    model, at = mlp(), itertools.count()

    def before():
        global TOTAL
        TOTAL += 1
        model.seen = getattr(model, "seen", 0) + 1
        next(at)

    return Situation(model, sgd(model), data(), step=around(before=before))


def iterators():
    model = mlp()
    source = itertools.cycle(data())

    def step(model, optimizer, batch):
        return around()(model, optimizer, next(source))

    return Situation(model, sgd(model), data(), step=step)


def generator():
    model = mlp()
    source = (pair for pair in data(40))

    def step(model, optimizer, batch):
        return around()(model, optimizer, next(source))

    return Situation(model, sgd(model), data(), step=step)


def randomness():
    model, own, numbers, python = mlp(), torch.Generator(), numpy.random.default_rng(1), random.Random(2)

    def before():
        torch.rand(2), torch.rand(1, generator=own), numpy.random.rand(), random.random()
        numbers.random(), python.random()

    return Situation(model, sgd(model), data(), step=around(before=before))


def wrapped_optimizer():
    class Wrapper(torch.optim.Optimizer):
        def __init__(self, base):
            super().__init__(base.param_groups, {})
            self.base, self.n = base, 0
            self.slow = [p.detach().clone() for p in base.param_groups[0]["params"]]

        def step(self, closure=None):
            self.base.step()
            self.n += 1
            with torch.no_grad():
                for slow, p in zip(self.slow, self.base.param_groups[0]["params"], strict=True):
                    slow.lerp_(p, 0.5)

    model = mlp()
    base = adamw(model)
    return Situation(model, Wrapper(base), data(), CROSS_MODULE, others={"base": base})


CROSS_MODULE = nn.CrossEntropyLoss()


def second_optimizer():
    model, other = mlp(), mlp()
    second = torch.optim.Adam(other.parameters())

    def step(model, optimizer, batch):
        loss = CROSS(model(batch[0]) + other(batch[0]), batch[1])
        loss.backward()
        for each in (optimizer, second):
            each.step()
            each.zero_grad()
        return loss.detach()

    return Situation(model, sgd(model), data(), step=step, others={"other": other, "second": second})


def tuple_of_optimizers():
    made = second_optimizer()

    def step(model, optimizers, batch):
        loss = CROSS(model(batch[0]), batch[1])
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return loss.detach()

    pair = torch.optim.Adam(made.model[0].parameters()), torch.optim.RMSprop(made.model[2].parameters())
    return Situation(made.model, pair, data(), step=step)


def rebinding():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp()
            self.slow = mlp().requires_grad_(False)
            self.register_buffer("center", torch.zeros(4))
            self.last, self.kept = None, []

        def forward(self, x):
            for slow, fast in zip(self.slow.parameters(), self.net.parameters(), strict=True):
                slow.data = slow.data * 0.9 + fast.data * 0.1
            h = self.net(x)
            self.center = self.center * 0.9 + h.detach().mean(0) * 0.1
            self.last = h.detach()
            self.kept.append(h.detach().mean())
            return h - self.center

    model = Net()
    return Situation(model, sgd(model), data(), CROSS_MODULE)


def norms():
    model = nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.utils.parametrizations.spectral_norm(nn.Linear(8, 4)))
    return Situation(model, sgd(model), data(), CROSS_MODULE)


def scaler():
    model, scaling = mlp(), torch.amp.GradScaler("cpu", init_scale=2.0**30)

    def step(model, optimizer, batch):
        with torch.autocast("cpu", dtype=torch.float16):
            loss = CROSS(model(batch[0]), batch[1])
        scaling.scale(loss).backward()
        scaling.step(optimizer)
        scaling.update()
        optimizer.zero_grad()
        return loss.detach()

    return Situation(model, sgd(model), data(), step=step, others={"scaler": scaling})


def changed_batch():
    model = mlp()
    batches = [{"x": x, "y": y} for x, y in data()]

    def loss(model, b):
        b["x"].add_(0.1)
        return CROSS(model(b["x"]), b.pop("y"))

    return Situation(model, sgd(model), batches, loss)


def lazily_made():
    model = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(4))
    model(torch.zeros(2, 12))
    return Situation(model, sgd(model), data(), CROSS_MODULE)


def gradients_there():
    made = Situation(mlp(), None, data(), CROSS_MODULE)
    made.optimizer = sgd(made.model)
    made.loss(made.model(made.batch(1)[0]), made.batch(1)[1]).backward()
    return made


def hooks_that_count():
    model, calls = mlp(), []
    model[0].register_forward_hook(lambda *_: calls.append("forward") and None)
    model[0].register_full_backward_hook(lambda *_: calls.append("backward") and None)
    model[0].weight.register_hook(lambda g: calls.append(g.norm().item()) and None)
    return Situation(model, sgd(model), data(), CROSS_MODULE, extra=lambda: {"calls": calls})


def raises_in_the_middle():
    """A refusal for sure: after things have changed."""
    model, log = mlp(), []

    def step(model, optimizer, batch):
        loss = CROSS(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        log.append(loss.detach())
        model.seen = loss.detach()
        raise KeyError("in the middle")

    return Situation(model, adamw(model), data(), step=step)
