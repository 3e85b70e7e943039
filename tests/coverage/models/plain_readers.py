"""Models of plain torch that read words: what is before and after the layers in the middle."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as fn

from tests.coverage.models.plain_parts import Mapped
from tests.coverage.registry import Made

WORDS = 40


def read(model: nn.Module, length: int = 9, rows: int = 3) -> Made:
    """`model` maps token numbers (rows, length) to scores (rows, length, WORDS) of the next token."""

    def batch() -> dict[str, torch.Tensor]:
        tokens = torch.randint(0, WORDS, (rows, length + 1))
        return {"tokens": tokens[:, :-1].contiguous(), "targets": tokens[:, 1:].contiguous()}

    def loss(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return fn.cross_entropy(model(batch["tokens"]).flatten(0, 1), batch["targets"].flatten())

    return {"model": model.train(), "batches": [batch(), batch()], "loss": loss}


def reader(middle: Any, width: int = 16, features: int = 16, **parts: Any) -> nn.Module:
    """Embedding, `middle(m, x)` over (rows, length, width), scores."""
    parts = {"embed": nn.Embedding(WORDS, width), "scores": nn.Linear(features, WORDS), **parts}
    return Mapped(lambda m, tokens: m.scores(middle(m, m.embed(tokens))), **parts)
