"""Python numbers and objects that a step changes: schedulers, counters, logs, iterators, floats in optimizers."""

import collections
import dataclasses
import itertools
import math

import numpy
import pytest
import torch
from torch import nn

from tests.situations.judge import HONEST, PLANNED, Situation, compare
from tests.situations.models import classifier, data, inputs, mlp, sgd, slow_unless, stepping

CROSS = nn.functional.cross_entropy
SCHEDULE = torch.optim.lr_scheduler


def ramp(n):
    return min(1.0, (n + 1) / 4)


SCHEDULERS = {
    "LambdaLR": lambda o: SCHEDULE.LambdaLR(o, ramp),
    "StepLR": lambda o: SCHEDULE.StepLR(o, 2, 0.5),
    "CosineAnnealingLR": lambda o: SCHEDULE.CosineAnnealingLR(o, 4),
    "CosineAnnealingWarmRestarts": lambda o: SCHEDULE.CosineAnnealingWarmRestarts(o, 2),
    "OneCycleLR": lambda o: SCHEDULE.OneCycleLR(o, 0.1, total_steps=20),
    "CyclicLR": lambda o: SCHEDULE.CyclicLR(o, 1e-3, 1e-1, step_size_up=2),
    "SequentialLR": lambda o: SCHEDULE.SequentialLR(
        o, [SCHEDULE.LinearLR(o, 0.1, 1.0, 2), SCHEDULE.ExponentialLR(o, 0.5)], [2]
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", SCHEDULERS)
def test_scheduler_in_the_step(kind):
    slow_unless(kind in ("LambdaLR", "OneCycleLR", "CosineAnnealingLR"))

    def make():
        model = mlp()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
        scheduler = SCHEDULERS[kind](optimizer)
        step = stepping(lambda loss: scheduler.step())
        return classifier(model, optimizer, step=step, others={"scheduler": scheduler})

    compare(make, steps=6).must_be(HONEST)


@pytest.mark.parametrize("by", ["loss", "item"])
def test_plateau_in_the_step(by):
    """ReduceLROnPlateau asks whether the loss is the best so far."""

    def make():
        model = mlp()
        optimizer = sgd(model)
        scheduler = SCHEDULE.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
        step = stepping(lambda loss: scheduler.step(loss.item() if by == "item" else loss.detach()))
        return classifier(model, optimizer, step=step, others={"scheduler": scheduler})

    compare(make, steps=8, variants=3).must_be(HONEST)


@pytest.mark.parametrize("kind", ["LambdaLR", "OneCycleLR"])
def test_scheduler_between_steps(kind):
    def make():
        model = mlp()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
        return classifier(model, optimizer, others={"scheduler": SCHEDULERS[kind](optimizer)})

    right = PLANNED if kind == "LambdaLR" else HONEST  # OneCycleLR moves the momentum as well
    compare(make, steps=6, between=lambda made, i: made.others["scheduler"].step()).must_be(right)


def test_plateau_between_steps():
    def make():
        model = mlp()
        optimizer = sgd(model)
        return classifier(model, optimizer, others={"scheduler": SCHEDULE.ReduceLROnPlateau(optimizer, patience=1)})

    compare(make, steps=6, between=lambda made, i: made.others["scheduler"].step(1.0)).must_be(PLANNED)


def test_learning_rate_by_hand_in_the_step():
    def make():
        state = {"n": 0}

        def step(model, optimizer, batch):
            state["n"] += 1
            for group in optimizer.param_groups:
                group["lr"] = 1e-2 * math.cos(state["n"] / 10)
            return stepping()(model, optimizer, batch)

        return classifier(step=step)

    compare(make).must_be(HONEST)


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
    "module attribute", "submodule attribute", "tensor in a closure",
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


class Momentum(torch.optim.Optimizer):
    """Bias correction by a Python float, kept in one of four places."""

    def __init__(self, params, where, lr=1e-2, beta=0.9):
        super().__init__(params, {"lr": lr, "beta": beta, "product": 1.0, "step": 0})
        self.where, self.product = where, 1.0
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["m"] = torch.zeros_like(p)
                self.state[p]["n"] = 0 if where == "state int" else 1.0

    @torch.no_grad()
    def step(self, closure=None):
        self.product *= self.defaults["beta"]
        for group in self.param_groups:
            group["product"] *= group["beta"]
            group["step"] += 1
            for p in group["params"]:
                state = self.state[p]
                if self.where == "state float":
                    state["n"] *= group["beta"]
                    product = state["n"]
                elif self.where == "state int":
                    state["n"] += 1
                    product = group["beta"] ** state["n"]
                elif self.where == "group float":
                    product = group["product"]
                elif self.where == "group int":
                    product = group["beta"] ** group["step"]
                else:
                    product = self.product
                state["m"].mul_(group["beta"]).add_(p.grad, alpha=1 - group["beta"])
                p.add_(state["m"] / (1 - product), alpha=-group["lr"])


@pytest.mark.parametrize("where", ["state float", "state int", "group float", "group int", "attribute"])
@pytest.mark.parametrize("warm", [False, True], ids=["fresh", "after a step"])
def test_numbers_in_optimizers(where, warm):
    slow_unless(not warm or where == "state float")

    def make():
        model = mlp()
        made = classifier(model, Momentum(model.parameters(), where))
        if warm:
            made.eager(made.batch(5))
        return made

    compare(make).must_be(HONEST)


class Lookahead(torch.optim.Optimizer):
    """Around another optimizer: every third step the slow weights follow, and the fast ones go back to them."""

    def __init__(self, base):
        self.base, self.n = base, 0
        self.param_groups, self.state, self.defaults = base.param_groups, base.state, base.defaults
        self.slow = [p.detach().clone() for g in base.param_groups for p in g["params"]]

    def step(self, closure=None):
        self.base.step()
        self.n += 1
        if self.n % 3 == 0:
            with torch.no_grad():
                for slow, p in zip(self.slow, (p for g in self.param_groups for p in g["params"]), strict=True):
                    slow.add_(p - slow, alpha=0.5)
                    p.copy_(slow)

    def zero_grad(self, set_to_none=True):
        self.base.zero_grad(set_to_none)


def test_lookahead():
    def make():
        model = mlp()
        base = sgd(model)
        return classifier(model, Lookahead(base), others={"base": base})

    compare(make, steps=8, variants=2).must_be(HONEST)


class ByDistance(torch.optim.Optimizer):
    """D-adaptation: the step size is a Python float read from tensors."""

    def __init__(self, params):
        super().__init__(params, {"lr": 1.0, "d": 1e-3, "k": 0})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            total = 0.0
            for p in group["params"]:
                state = self.state[p]
                if "s" not in state:
                    state["s"], state["p0"] = torch.zeros_like(p), p.clone()
                state["s"].add_(p.grad, alpha=group["d"])
                total += (state["p0"] - p).norm().item() + state["s"].norm().item()
            group["d"] = max(group["d"], 1e-2 * total / len(group["params"]))
            group["k"] += 1
            for p in group["params"]:
                p.sub_(p.grad, alpha=group["d"] * group["lr"])


def test_step_size_by_distance():
    def make():
        model = mlp()
        return classifier(model, ByDistance(model.parameters()))

    compare(make).must_be(HONEST)


def test_warm_up_of_an_average():
    """The decay is min(0.9, (1 + n) / (10 + n)), n counted by the object."""

    class Ema:
        def __init__(self, model):
            self.shadow, self.n = {k: v.clone() for k, v in model.state_dict().items()}, 0

        @torch.no_grad()
        def update(self, model):
            self.n += 1
            decay = min(0.9, (1 + self.n) / (10 + self.n))
            for k, v in model.state_dict().items():
                self.shadow[k].mul_(decay).add_(v, alpha=1 - decay)

    def make():
        model = mlp()
        ema = Ema(model)
        return classifier(model, step=stepping(lambda loss: ema.update(model)), others={"ema": ema})

    compare(make).must_be(HONEST)


def batches_of(kind):
    def numbers():
        yield from itertools.cycle(data())

    if kind == "generator":
        return numbers()
    if kind == "cycle":
        return itertools.cycle(data())
    if kind == "enumerate":
        return (pair for _, pair in enumerate(data(12)))
    if kind == "list iterator":
        return iter(data(12))
    if kind == "loader":
        tensors = map(torch.cat, zip(*data(12), strict=True))
        return iter(torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*tensors), 8))
    return collections.deque(data(12))


@pytest.mark.parametrize("kind", ["generator", "cycle", "enumerate", "list iterator", "loader", "deque"])
def test_the_step_draws_its_batch_itself(kind):
    def make():
        source = batches_of(kind)

        def step(model, optimizer, _):
            batch = source.popleft() if kind == "deque" else next(source)
            loss = CROSS(model(batch[0]), batch[1])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss.detach()

        return classifier(step=step, batches=[torch.zeros(1)])

    compare(make).must_be(HONEST)


@pytest.mark.parametrize("kind", ["generator", "cycle", "enumerate", "list iterator", "deque"])
def test_the_step_draws_a_second_batch(kind):
    """Semi-supervised: labelled data is the batch, the rest comes from an iterator of the closure."""
    slow_unless(kind in ("cycle", "deque"))

    def make():
        source = batches_of(kind)

        def loss(model, batch):
            x, _ = source.popleft() if kind == "deque" else next(source)
            return CROSS(model(batch[0]), batch[1]) + 0.1 * (model(x) - model(-x)).square().mean()

        return classifier(loss=loss)

    compare(make).must_be(HONEST)


class Meter:
    def __init__(self):
        self.total, self.count, self.history = 0.0, 0, []

    def update(self, value, n):
        self.total += value * n
        self.count += n
        self.history.append(self.total / self.count)


class Writer:
    """TensorBoard's interface."""

    def __init__(self):
        self.scalars = {}

    def add_scalar(self, name, value, at):
        self.scalars.setdefault(name, []).append((at, float(value)))


LOGS = ["items", "tensors", "deque", "norms", "meter", "writer", "every second", "tensor sum", "accuracy", "best"]


@pytest.mark.parametrize("kind", LOGS)
def test_logs(kind):
    def make():
        model, log = mlp(), collections.deque(maxlen=3) if kind == "deque" else []
        meter, writer, state = Meter(), Writer(), {"n": 0, "sum": torch.zeros(()), "best": math.inf, "mean": 0.0}

        def step(model, optimizer, batch):
            out = model(batch[0])
            loss = CROSS(out, batch[1])
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            state["n"] += 1
            if kind in ("items", "deque"):
                log.append((loss.item(), norm.item()))
            elif kind == "tensors":
                log.append((loss.detach(), norm))
            elif kind == "norms":
                log.append({name: p.grad.norm().item() for name, p in model.named_parameters()})
            elif kind == "meter":
                meter.update(loss.item(), batch[0].shape[0])
            elif kind == "writer":
                writer.add_scalar("loss", loss, state["n"])
            elif kind == "every second" and state["n"] % 2 == 0:
                log.append(loss.item())
            elif kind == "tensor sum":
                state["sum"] += loss.detach()
            elif kind == "accuracy":
                log.append((out.argmax(1) == batch[1]).sum().item())
            elif kind == "best":
                state["best"] = min(state["best"], loss.item())
                state["mean"] = 0.9 * state["mean"] + 0.1 * loss.item()
            optimizer.step()
            optimizer.zero_grad()
            return loss.detach()

        return classifier(model, step=step, extra=lambda: {"log": list(log), "meter": meter, "writer": writer})

    compare(make, steps=6, variants=3 if kind == "best" else 2 if kind == "every second" else 1).must_be(HONEST)


def test_what_is_printed(capsys):
    """A line a step, also where the plan runs."""
    printed = []

    def make():
        capsys.readouterr()
        return classifier(step=stepping(lambda loss: print(f"loss {loss.item():.6f}")))

    def between(made, i):
        printed.append(capsys.readouterr().out.splitlines()[-1:])

    verdict = compare(make, between=between)
    verdict.must_be(HONEST)
    assert printed[5:] == printed[:5] or verdict.outcome == "refused"


def test_weights_from_the_history_of_losses():
    """AutoClip and dynamic weights: Python floats that come from tensors, and go back into the graph."""

    def make():
        norms = []

        def step(model, optimizer, batch):
            loss = CROSS(model(batch[0]), batch[1])
            loss.backward()
            norms.append(sum(p.grad.norm().item() ** 2 for p in model.parameters()) ** 0.5)
            nn.utils.clip_grad_norm_(model.parameters(), float(numpy.percentile(norms, 10)))
            optimizer.step()
            optimizer.zero_grad()
            return loss.detach()

        return classifier(step=step)

    compare(make).must_be(HONEST)


def test_gradients_kept_from_step_to_step():
    """Grokfast: a dict of slow gradients that begins empty."""

    def make():
        slow = {}

        def step(model, optimizer, batch):
            loss = CROSS(model(batch[0]), batch[1])
            loss.backward()
            for name, p in model.named_parameters():
                slow[name] = slow[name] * 0.9 + p.grad * 0.1 if name in slow else p.grad.detach().clone()
                p.grad = p.grad + 2 * slow[name]
            optimizer.step()
            optimizer.zero_grad()
            return loss.detach()

        return classifier(step=step)

    compare(make, steps=6, variants=2).must_be(HONEST)


def test_target_network_every_third_step():
    """Deep Q-learning: a counter decides when the target is copied."""

    def make():
        model, target, n = mlp(), mlp(), [0]
        target.load_state_dict(model.state_dict())

        def step(model, optimizer, x):
            with torch.no_grad():
                goal = 0.9 * target(x).max(1).values + x.mean(1)
            loss = nn.functional.smooth_l1_loss(model(x).max(1).values, goal)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            n[0] += 1
            if n[0] % 3 == 0:
                target.load_state_dict(model.state_dict())
            return loss.detach()

        return Situation(model, sgd(model), inputs(), step=step, others={"target": target})

    compare(make, steps=8, variants=2).must_be(HONEST)


def test_clock():
    """Times are logged: as many entries as steps, whatever they say."""
    import time

    def make():
        times = []
        step = stepping(lambda loss: times.append(time.perf_counter()))
        return classifier(step=step, extra=lambda: {"entries": len(times)})

    compare(make, ignore=r"times\[").must_be(HONEST)
