"""One training step of one model and its optimizers, as it is captured, measured and run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from roam_lab.capture.sources.library import is_prepared
from roam_lab.capture.step import StepFunction
from roam_lab.capture.trained import trained_parameters
from roam_lab.distributed import averaged_as_ops
from roam_lab.errors import CaptureError, InputError

OptimizerOrSeveral = torch.optim.Optimizer | tuple[torch.optim.Optimizer, ...]
"""What the user gives as `optimizer`, and what the user's step function is called with."""


def has_step_hooks(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the optimizer has step hooks; a wrapper that never called Optimizer.__init__ has none."""
    return hasattr(optimizer, "_optimizer_step_pre_hooks") and hasattr(optimizer, "_optimizer_step_post_hooks")


def optimizers_of(optimizer: Any) -> tuple[torch.optim.Optimizer, ...]:
    """The given optimizers as a tuple. Raises CaptureError for anything that is no optimizer, for an empty tuple, and
    for an optimizer that is given twice."""
    given = tuple(map(_unwrapped, optimizer if isinstance(optimizer, tuple | list) else (optimizer,)))
    for one in given:
        if not isinstance(one, torch.optim.Optimizer):
            what = "nothing" if one is None else f"a {type(one).__name__}"
            raise CaptureError(f"{what} was given as optimizer; give a torch.optim.Optimizer, or a tuple of them")
    if not given:
        raise CaptureError("the tuple of optimizers is empty; give one or more")
    if len({id(one) for one in given}) < len(given):
        raise CaptureError("an optimizer is given twice; give each once")
    return given


def _unwrapped(optimizer: Any) -> Any:
    """The optimizer inside the wrapper of `accelerator.prepare`; any other as it is. Raises CaptureError where the
    wrapper does more than call it."""
    while is_prepared(optimizer):
        if optimizer.scaler is not None:
            raise CaptureError(
                "Accelerate scales the loss (mixed_precision='fp16'), which is not planned; use 'bf16', or train "
                "eagerly"
            )
        optimizer = optimizer.optimizer
    if type(optimizer).__module__.startswith("accelerate.utils."):
        raise CaptureError(
            f"a {type(optimizer).__name__} leaves backward pass and step to another engine, which is not planned; "
            "train eagerly"
        )
    return optimizer


def keep_grads_of(keep_grads: Any, model: torch.nn.Module) -> bool | tuple[str, ...]:
    """The user's `keep_grads`, checked: True, False, or a tuple of parameters' names. Raises InputError."""
    if isinstance(keep_grads, bool):
        return keep_grads
    names = (keep_grads,) if isinstance(keep_grads, str) else tuple(keep_grads)
    known = {name for name, _ in model.named_parameters()}
    for name in names:
        if name not in known:
            raise InputError(f"keep_grads: there is no parameter {name!r}; give names as in model.named_parameters()")
    return names


def remarks_on(model: torch.nn.Module) -> tuple[str, ...]:
    """Sentences about a model that the user should know before training, such as that it is in eval mode, in which a
    step takes other memory."""
    if model.training:
        return ()
    return (
        "The model is in eval mode (no dropout, fixed batch norm); if it is trained in train mode, call model.train() "
        "and profile it again.",
    )


def roots_of(step: TrainingStep) -> dict[str, Any]:
    """The roots from which everything is found that a step can reach, by the name with which paths begin."""
    optimizers = step.optimizers
    one = optimizers[0] if len(optimizers) == 1 else optimizers
    return {"model": step.model, "optimizer": one, "step": step.function, "optimizer as given": step.optimizer}


@dataclass(frozen=True)
class TrainingStep:
    """A step: `function(model, optimizer, batch)`, where `optimizer` is one, or the tuple that the function takes.

    `adds`: whether gradients from before the step are inputs that it adds to; otherwise it is captured as if there were
    none. `keep_grads`: names of parameters whose gradient stays set where eager leaves it (True: all). Other gradients
    stay set only where a later step adds to them, or may.
    """

    model: torch.nn.Module
    optimizer: OptimizerOrSeveral
    function: StepFunction
    adds: bool = False
    keep_grads: bool | tuple[str, ...] = False

    @property
    def optimizers(self) -> tuple[torch.optim.Optimizer, ...]:
        """The optimizers as a tuple. Raises CaptureError for what is no optimizer."""
        return optimizers_of(self.optimizer)

    @property
    def parameters(self) -> dict[str, torch.Tensor]:
        """Name -> parameter, as in `trained_parameters`: the model's, and those that only an optimizer holds."""
        return trained_parameters(self.model, self.optimizers)

    def run(self, batch: Any) -> Any:
        """Run one eager step. Returns what the user's function returns."""
        return self.function(self.model, self.optimizer, batch)

    def run_as_ops(self, batch: Any) -> Any:
        """Run one step as it is captured: a DistributedDataParallel exchanges gradients by ops."""
        with averaged_as_ops(self.model):
            return self.run(batch)
