"""Small models, batches and steps that the situations share."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tests.situations.judge import Situation


def slow_unless(common: bool) -> None:
    """Skips a combination that is seldom the one that breaks, unless ROAM_SLOW_TESTS is set."""
    if not common and not os.environ.get("ROAM_SLOW_TESTS"):
        pytest.skip("one more combination; set ROAM_SLOW_TESTS=1 to run all")


def mlp(wide: int = 24, out: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Linear(12, wide), nn.GELU(), nn.Linear(wide, out))


def data(count: int = 6, rows: int = 8, seed: int = 3) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(inputs, labels): (rows, 12) and (rows,)."""
    g = torch.Generator().manual_seed(seed)
    return [(torch.randn(rows, 12, generator=g), torch.randint(0, 4, (rows,), generator=g)) for _ in range(count)]


def inputs(count: int = 6, shape: tuple[int, ...] = (8, 12), seed: int = 3) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=g) for _ in range(count)]


def adamw(model: nn.Module, **given: Any) -> torch.optim.AdamW:
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2, **given)


def sgd(model: nn.Module) -> torch.optim.SGD:
    """With momentum: an optimizer with state, in few operators."""
    return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.05, momentum=0.9)


def classifier(model: nn.Module | None = None, optimizer: Any = None, **given: Any) -> Situation:
    """A model of (inputs, labels) with cross entropy."""
    model = model or mlp()
    optimizer = optimizer(model) if callable(optimizer) else optimizer or sgd(model)
    if "step" not in given and "loss" not in given:
        given["loss"] = nn.CrossEntropyLoss()
    return Situation(model, optimizer, given.pop("batches", None) or data(), **given)


def stepping(after: Callable[..., Any] | None = None, before: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """A step: forward, cross entropy, backward, `before(loss)`, optimizer, `after(loss)`, gradients cleared."""

    def step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Any) -> torch.Tensor:
        loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        if before is not None:
            before(loss)
        optimizer.step()
        if after is not None:
            after(loss)
        optimizer.zero_grad()
        return loss.detach()

    return step
