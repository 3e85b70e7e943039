"""A small classifier, and its training by the user's own step."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as fn

from tests.coverage.models.plain_parts import CLASSES, classified
from tests.coverage.registry import Made

Optimizer = torch.optim.Optimizer


def dense(*widths: int) -> nn.Sequential:
    """Linear layers with GELU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.GELU()]
    return nn.Sequential(*layers[:-1])


def stepped(step: Callable[[nn.Module, Any, Any], torch.Tensor], **more: Any) -> Made:
    """A small classifier trained by the user's own step."""
    made = classified(dense(12, 32, CLASSES), 6, 12)
    del made["loss"]
    return {**made, "step": step, **more}


def usual(model: nn.Module, batch: Any) -> torch.Tensor:
    """Cross entropy of (inputs, targets)."""
    return fn.cross_entropy(model(batch[0]), batch[1])
