"""What the models of plain torch are put together from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from tests.coverage.registry import Made

CLASSES = 5


def classified(model: nn.Module, *shape: int, memory_format: torch.memory_format = torch.contiguous_format) -> Made:
    """`model` maps inputs of `shape` to scores of `CLASSES` classes; cross entropy."""

    def batch() -> tuple[torch.Tensor, torch.Tensor]:
        inputs = torch.randn(shape).to(memory_format=memory_format)
        return inputs, torch.randint(0, CLASSES, shape[:1])

    model.to(memory_format=memory_format)  # type: ignore[call-overload]
    return {"model": model.train(), "batches": [batch(), batch()], "loss": nn.CrossEntropyLoss()}


def regressed(model: nn.Module, batch: Callable[[], Any]) -> Made:
    """`model` maps the batch's tensors to one whose mean square is the loss."""

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        return model(*batch).float().square().mean()

    return {"model": model.train(), "batches": [batch(), batch()], "loss": loss}


class Mapped(nn.Module):
    """A body and a function of (body, inputs): for what is no chain of modules."""

    def __init__(self, function: Callable[..., torch.Tensor], **parts: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs: Any) -> torch.Tensor:
        """The function's result."""
        return self.function(self, *inputs)


def head(*body: nn.Module, width: int) -> nn.Sequential:
    """A convolutional body with pooling and scores."""
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES))
