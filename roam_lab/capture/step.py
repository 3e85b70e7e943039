"""The function of one training step: the user's own, or one built from a model's loss."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from roam_lab.capture.torch_internals import pytree
from roam_lab.errors import CaptureError

LossFunction = Callable[[torch.nn.Module, Any], torch.Tensor]
StepFunction = Callable[[torch.nn.Module, Any, Any], Any]
"""`step(model, optimizer, batch)`; takes one optimizer or the tuple that was given."""
GIVE_A_LOSS = (
    "give loss= (--loss NAME in %roam): a criterion such as nn.CrossEntropyLoss() for a batch of (inputs, targets), or "
    "a function of (model, batch)"
)


def model_loss(model: torch.nn.Module, batch: Any) -> torch.Tensor:
    """The loss of `model` on `batch`: the output's `.loss` (as in transformers), its `["loss"]`, or the output itself.

    A mapping is passed as keyword arguments, a list or tuple as positional ones, anything else as the one argument.
    """
    arguments: Sequence[Any] = ()
    named: Mapping[str, Any] = {}
    if isinstance(batch, Mapping):
        named = batch
    elif isinstance(batch, Sequence) and not isinstance(batch, str):
        arguments = batch
    else:
        arguments = (batch,)
    try:
        output = _loss_of(model(*arguments, **named))
    except TypeError:
        _check_takes(model, arguments, named)
        raise
    if not isinstance(output, torch.Tensor):
        raise CaptureError(
            f"the output of {type(model).__name__} has no .loss ({type(output).__name__}); "
            f"pass labels in the batch, or {GIVE_A_LOSS}"
        )
    if output.numel() != 1:
        raise CaptureError(
            f"{type(model).__name__} returns a tensor of shape {tuple(output.shape)}, which is no loss, and none is "
            f"given; {GIVE_A_LOSS}"
        )
    return output


def _check_takes(model: torch.nn.Module, arguments: Sequence[Any], named: Mapping[str, Any]) -> None:
    """Raise CaptureError where the model's forward does not take these arguments; the usual reason is that the batch
    has targets, which are meant for a loss."""
    try:
        signature = inspect.signature(model.forward)
    except (TypeError, ValueError):  # written in C, say
        return
    try:
        signature.bind(*arguments, **named)
    except TypeError as error:
        strange = [repr(name) for name in named if name not in signature.parameters]
        why = f"unexpected keyword argument {strange[0]}" if strange else str(error)
        raise CaptureError(
            f"the model does not accept this batch as arguments of {type(model).__name__}.forward ({why}), and no "
            f"loss is given; {GIVE_A_LOSS}"
        ) from None


def loss_in(result: Any) -> float:
    """The loss in what a step returns: the result itself, its `["loss"]` or `.loss`, or the first number in it; nan
    where there is none."""
    for leaf in pytree.tree_leaves(_loss_of(result)):
        if isinstance(leaf, float | int) or (isinstance(leaf, torch.Tensor) and leaf.numel() == 1):
            return float(leaf)
    return float("nan")


def _loss_of(output: Any) -> Any:
    return output["loss"] if isinstance(output, Mapping) and "loss" in output else getattr(output, "loss", output)


def criterion_loss(criterion: Callable[[Any, Any], torch.Tensor]) -> LossFunction:
    """A loss for `(inputs, targets)` batches: `criterion(model(inputs), targets)`."""

    def loss(model: torch.nn.Module, batch: Any) -> torch.Tensor:
        try:
            inputs, targets = batch
        except (TypeError, ValueError):
            raise CaptureError(
                "a criterion needs a batch of (inputs, targets); give loss=, a function of (model, batch), for others"
            ) from None
        return criterion(model(inputs), targets)

    return loss


def as_loss(loss: LossFunction | torch.nn.Module | None) -> LossFunction:
    """The loss function of (model, batch) for what the user gave: None means the model's own loss, a module (such as
    nn.CrossEntropyLoss()) a criterion, anything else is such a function itself. Raises CaptureError for a function of
    torch.nn.functional, which is called with inputs and targets."""
    if loss is None:
        return model_loss
    if getattr(loss, "__module__", None) in ("torch.nn.functional", "torch._C._nn"):
        raise CaptureError(f"{getattr(loss, '__name__', 'the loss')} takes no (model, batch); {GIVE_A_LOSS}")
    if isinstance(loss, torch.nn.Module):
        return criterion_loss(loss)
    return loss


def as_step(loss: LossFunction | torch.nn.Module | None = None, step: StepFunction | None = None) -> StepFunction:
    """The whole training step `(model, optimizer, batch) -> loss`; the default clears gradients when it is done."""
    if step is not None:
        if loss is not None:
            raise CaptureError("give loss= or step=, not both: a step computes its own loss")
        return step
    loss_of = as_loss(loss)

    def train_step(model: torch.nn.Module, optimizer: Any, batch: Any) -> torch.Tensor:
        value = loss_of(model, batch)
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            found = f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
            raise CaptureError(f"the loss is not a scalar tensor ({found}); reduce it, for example with .mean()")
        value.backward()
        optimizers = optimizer if isinstance(optimizer, tuple | list) else (optimizer,)
        for each in optimizers:
            each.step()
        for each in optimizers:
            each.zero_grad(set_to_none=True)
        return value.detach()

    return train_step
