"""What a profile was made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, eq=False)
class Made:
    """What a profile was made of: the user's own objects, never copied, never changed here."""

    model: Any
    batch: Any
    optimizer: Any = None
    loss: Any = None
    step: Any = None
    names: Mapping[str, str] = field(default_factory=dict)
    """How each of them is called in the notebook."""

    def step_arguments(self) -> dict[str, Any]:
        """As keyword arguments of `profile`, `hook` and `verify`."""
        return {key: getattr(self, key) for key in ("optimizer", "loss", "step") if getattr(self, key) is not None}

    def to_run(self) -> tuple[Any, Any, Any, Any, Any]:
        """Model, optimizer, batch, loss and step, as `verify` and `measure_plan` take them; where no optimizer was
        given, the one that the profile took for granted."""
        optimizer = self.optimizer
        if optimizer is None:
            import torch

            optimizer = torch.optim.AdamW(self.model.parameters())
        return self.model, optimizer, self.batch, self.loss, self.step
