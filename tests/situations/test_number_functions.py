"""Functions of `math` and NumPy in the step: schedules written by hand, checks of the loss, perplexity."""

from __future__ import annotations

import math
from math import cos
from typing import Any

import numpy
import pytest
import torch
from torch import nn

from tests.situations.judge import GRADIENTS, HONEST, PLANNED, Situation, compare
from tests.situations.models import adamw, data, mlp, slow_unless

fn = nn.functional
STEPS = 12
"""More than the ways through a step that are captured: a function that makes each step another way is found out."""


def trained(model: nn.Module, optimizer: Any, batch: Any, factor: Any = 1.0) -> torch.Tensor:
    loss = fn.cross_entropy(model(batch[0]), batch[1]) * factor
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def cosine(i: int) -> float:
    """Warmed up, then as everybody writes it."""
    return 1e-2 * i / 3 if i < 3 else 1e-4 + 0.5 * 1e-2 * (1 + math.cos(math.pi * (i - 3) / 20))


def by_its_own_name(i: int) -> float:
    return 1e-2 * (1.1 + cos(i))


def progress(i: int) -> float:
    return 1e-2 * (2.0 / (1.0 + numpy.exp(-10 * i / 20)) - 0.9)


def inverse_root(i: int) -> float:
    return 1e-2 * min(1 / math.sqrt(i + 1), (i + 1) * 4**-1.5)


def in_numpy(i: int) -> float:
    return numpy.float64(1e-2) * numpy.maximum(numpy.log1p(i) / 3, 0.25)


def nested(i: int) -> float:
    return 1e-2 * math.exp(-(math.sin(i) ** 2)) + (math.hypot(i, 2.0) > 5) * 1e-3


@pytest.mark.parametrize(
    "rate", [cosine, by_its_own_name, progress, inverse_root, in_numpy, nested], ids=lambda one: one.__name__
)
def test_rates(rate):
    slow_unless(rate in (cosine, progress))

    def make() -> Situation:
        model, at = mlp(), {"i": 0, "rates": list[float]()}

        def step(model: nn.Module, optimizer: Any, batch: Any) -> torch.Tensor:
            for group in optimizer.param_groups:
                group["lr"] = rate(at["i"])
            at["rates"].append(rate(at["i"]))
            at["i"] += 1
            return trained(model, optimizer, batch)

        return Situation(model, adamw(model), data(), step=step, others={"at": at})

    compare(make, STEPS, variants=3, on_mismatch="replan", ignore=GRADIENTS).must_be(PLANNED)


@pytest.mark.parametrize("factor", [progress, lambda i: math.erf(i) + 0.5, lambda i: numpy.sqrt(i + 1)])
def test_factors_of_the_loss(factor):
    def make() -> Situation:
        model, at = mlp(), {"i": 0}

        def step(model: nn.Module, optimizer: Any, batch: Any) -> torch.Tensor:
            at["i"] += 1
            return trained(model, optimizer, batch, factor(at["i"]))

        return Situation(model, adamw(model), data(), step=step, others={"at": at})

    compare(make, STEPS, ignore=GRADIENTS).must_be(PLANNED)


CHECKS = {
    "math.isfinite": lambda loss: math.isfinite(loss.item()),
    "math.isnan": lambda loss: not math.isnan(loss.item() * 0),
    "of a tensor": lambda loss: math.isfinite(loss),
    "numpy.isfinite": lambda loss: numpy.isfinite(loss.item()),
}


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("bad", [None, 4])
def test_losses_that_are_not_finite(name, bad):
    """The script skips such a batch, and counts it."""
    slow_unless(bad is not None and name in ("math.isfinite", "math.isnan"))

    def make() -> Situation:
        model, at = mlp(), {"bad": 0}
        batches = data()
        if bad is not None:
            batches[bad] = (batches[bad][0] * math.inf, batches[bad][1])

        def step(model: nn.Module, optimizer: Any, batch: Any) -> float:
            loss = fn.cross_entropy(model(batch[0]), batch[1])
            optimizer.zero_grad()
            if not CHECKS[name](loss):
                at["bad"] += 1
                return loss.item()
            loss.backward()
            optimizer.step()
            return loss.item()

        return Situation(model, adamw(model), batches, step=step, others={"at": at})

    right = HONEST if name == "math.isnan" else PLANNED  # inf * 0 is nan, which symbols do not know: it may be refused
    verdict = compare(make, STEPS, variants=2, on_mismatch="replan", ignore=GRADIENTS).must_be(right)
    assert verdict.planned >= (0 if name == "math.isnan" else STEPS - 4)


def test_perplexity_that_overflows():
    """As in the scripts of transformers: what `math.exp` raises is caught."""

    def make() -> Situation:
        model, found = mlp(), list[float]()
        batches = data()
        batches[4] = (batches[4][0] * 1e5, batches[4][1])

        def step(model: nn.Module, optimizer: Any, batch: Any) -> torch.Tensor:
            loss = fn.cross_entropy(model(batch[0]), batch[1])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            try:
                perplexity = math.exp(loss.item())
            except OverflowError:
                perplexity = float("inf")
            found.append(perplexity)
            return loss.detach()

        return Situation(model, adamw(model), batches, step=step, others={"found": found})

    verdict = compare(make, STEPS, variants=3, on_mismatch="replan", ignore=GRADIENTS).must_be({"planned", "eager"})
    assert verdict.planned >= STEPS - 5


def test_what_raises_is_raised():
    def make() -> Situation:
        model, at = mlp(), {"left": 8}

        def step(model: nn.Module, optimizer: Any, batch: Any) -> torch.Tensor:
            at["left"] -= 1
            return trained(model, optimizer, batch, math.log(at["left"] / 4 + 1e-3) + 9)

        return Situation(model, adamw(model), data(), step=step, others={"at": at})

    compare(make, STEPS, raises=ValueError, variants=6, on_mismatch="replan", ignore=GRADIENTS).must_be(HONEST)


def test_texts_of_computed_numbers_are_refused():
    def make() -> Situation:
        model, at = mlp(), {"i": 0, "text": ""}

        def step(model: nn.Module, optimizer: Any, batch: Any) -> torch.Tensor:
            at["i"] += 1
            at["text"] = str(math.exp(-at["i"]))
            return trained(model, optimizer, batch)

        return Situation(model, adamw(model), data(), step=step, others={"at": at})

    assert compare(make, 4, ignore=GRADIENTS).must_be({"refused", "eager"}).planned == 0
