"""What is captured, measured, planned and run: one training step of one model and its optimizers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from roam_lab.capture.step import StepFunction
from roam_lab.distributed import averaged_as_ops
from roam_lab.errors import CaptureError

OptimizerOrSeveral = torch.optim.Optimizer | tuple[torch.optim.Optimizer, ...]
"""As the user gives it, and as the user's step takes it."""


def has_step_hooks(optimizer: torch.optim.Optimizer) -> bool:
    """Whether it can be told when the optimizer steps: not where a wrapper never called Optimizer.__init__."""
    return hasattr(optimizer, "_optimizer_step_pre_hooks") and hasattr(optimizer, "_optimizer_step_post_hooks")


def optimizers_of(optimizer: Any) -> tuple[torch.optim.Optimizer, ...]:
    """The optimizers given, as a tuple. Raises CaptureError for what is none, for an empty tuple or one given twice."""
    given = tuple(optimizer) if isinstance(optimizer, tuple | list) else (optimizer,)
    for one in given:
        if not isinstance(one, torch.optim.Optimizer):
            raise CaptureError(
                f"a {type(one).__name__} was given as optimizer; give a torch.optim.Optimizer, or a tuple of them"
            )
    if not given:
        raise CaptureError("the tuple of optimizers is empty; give one or more")
    if len({id(one) for one in given}) < len(given):
        raise CaptureError("an optimizer is given twice; give each once")
    return given


def roots_of(step: TrainingStep) -> dict[str, Any]:
    """What everything is reached from, by the name that paths begin with."""
    optimizers = step.optimizers
    one = optimizers[0] if len(optimizers) == 1 else optimizers
    return {"model": step.model, "optimizer": one, "step": step.function}


@dataclass(frozen=True)
class TrainingStep:
    """`function(model, optimizer, batch)`; `optimizer` is one, or the tuple that the function takes."""

    model: torch.nn.Module
    optimizer: OptimizerOrSeveral
    function: StepFunction

    @property
    def optimizers(self) -> tuple[torch.optim.Optimizer, ...]:
        """All of them. Raises CaptureError for what is no optimizer."""
        return optimizers_of(self.optimizer)

    def run(self, batch: Any) -> Any:
        """One eager step; what the user's function returns."""
        return self.function(self.model, self.optimizer, batch)

    def run_as_ops(self, batch: Any) -> Any:
        """One step as it is captured: what a DistributedDataParallel exchanges with other ranks is done by ops."""
        with averaged_as_ops(self.model):
            return self.run(batch)
