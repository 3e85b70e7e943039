"""Models of the identity tests on the fake device: eager, and hooked."""

from __future__ import annotations

from typing import Any

import torch

import roam_lab as roam
from roam_lab.capture import as_step
from tests.zoo import MODELS, adamw


def on_cuda(values: Any, device: str = "cuda") -> Any:
    return torch.utils._pytree.tree_map(lambda x: x.to(device) if isinstance(x, torch.Tensor) else x, values)


class Training:
    """A model of the zoo, its optimizer, batch and step, on the fake device."""

    def __init__(self, name: str = "tiny", make_optimizer: Any = adamw, step: Any = None, device: str = "cuda") -> None:
        torch.manual_seed(0)
        model, batch, loss = MODELS[name]()
        self.model = model.to(device)
        loss = loss.to(device) if isinstance(loss, torch.nn.Module) else loss
        self.batch, self.step = on_cuda(batch, device), as_step(loss, step)
        self.optimizer = make_optimizer(self.model.parameters())

    def eager(self) -> torch.Tensor:
        return self.step(self.model, self.optimizer, self.batch)

    def profile(self, **options: Any) -> Any:
        return roam.profile(self.model, self.batch, self.optimizer, step=self.step, **options)

    def hooked(self, **options: Any) -> Any:
        """Kernels compute nothing, so no bits are compared."""
        plan = self.profile().plan()
        return roam.hook(plan, self.model, self.optimizer, step=self.step, check="never", **options)
