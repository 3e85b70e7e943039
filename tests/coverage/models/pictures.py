"""Batches of pictures, and losses for models that have none."""

from __future__ import annotations

from typing import Any

import torch

from tests.coverage.models.tiny import pictures

Batch = dict[str, Any]


def classified(size: int = 32) -> Batch:
    """Images with a class each."""
    return {"pixel_values": pictures(size=size), "labels": torch.randint(0, 5, (2,))}


def segmented(size: int = 32) -> Batch:
    """Images with a class a pixel; 255 is none."""
    labels = torch.randint(0, 5, (2, size, size))
    labels[:, :2] = 255
    return {"pixel_values": pictures(size=size), "labels": labels}


def plain(size: int = 32) -> Batch:
    """Images alone."""
    return {"pixel_values": pictures(size=size)}


def masked(size: int = 32, patch: int = 8) -> Batch:
    """Images with half of their patches masked."""
    count = (size // patch) ** 2
    hidden = torch.arange(count).remainder(2).bool().expand(2, -1)
    return {"pixel_values": pictures(size=size), "bool_masked_pos": hidden}


def depths(size: int = 32) -> Batch:
    """Images with a depth a pixel."""
    return {"pixel_values": pictures(size=size), "labels": torch.rand(2, size, size) + 0.1}


def feature_loss(model: Any, batch: Batch) -> torch.Tensor:
    """For models without a loss: the mean square of what they return first."""
    output = model(**batch)
    first = output[0] if not isinstance(output[0], (list, tuple)) else output[0][-1]
    found: torch.Tensor = first.float().square().mean()
    return found


def all_losses(model: Any, batch: Batch) -> torch.Tensor:
    """For detection, whose own loss matches boxes by scipy: the mean squares of all tensors that it returns."""
    output = model(**batch)
    tensors = [value for value in output.values() if isinstance(value, torch.Tensor) and value.requires_grad]
    return torch.stack([value.float().square().mean() for value in tensors]).sum()


def first_output(model: Any, batch: Batch) -> torch.Tensor:
    """The mean square of the first output."""
    output = model(**batch)
    first: torch.Tensor = output[0]
    return first.float().square().mean()
