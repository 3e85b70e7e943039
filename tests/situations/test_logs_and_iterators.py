"""Steps that draw from iterators, write logs, print, or keep a history."""

import collections
import itertools
import math

import numpy
import pytest
import torch
from torch import nn

from tests.situations.judge import HONEST, Situation, compare
from tests.situations.models import classifier, data, inputs, mlp, sgd, slow_unless, stepping

CROSS = nn.functional.cross_entropy


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
    assert printed[-5:] == printed[:5] or verdict.outcome == "refused"


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
