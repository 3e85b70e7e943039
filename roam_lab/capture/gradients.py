"""Gradients of a traced step: which are cleared, which are left, and whether the next step would add to those."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.fx import GraphModule

from roam_lab.capture.nodes import storage_key
from roam_lab.capture.sources.optimizers import steps_noted
from roam_lab.capture.training_step import TrainingStep
from roam_lab.errors import CaptureError


class Gradients:
    """Notes, while a step is traced, what clears gradients and which optimizer steps use them.

    `tensors`: name -> the fake of each parameter. `before_update`: called before each optimizer step. `cleared`: names
    of the parameters whose gradient, if one is left from before, is cleared before one is added. `updated`: names of
    those that have a gradient when an optimizer steps.
    """

    def __init__(
        self, training: TrainingStep, tensors: Mapping[str, torch.Tensor], before_update: Callable[[], None]
    ) -> None:
        self._training, self._tensors, self._before_update = training, tensors, before_update
        self.cleared: set[str] = set()
        self.updated: list[str] = []
        self._zeroed = self._stepped = False
        self._left: dict[str, torch.Tensor] = {}

    @contextmanager
    def noted(self) -> Iterator[None]:
        """While the step runs."""
        owners: list[Any] = [self._training.model, *self._training.optimizers]
        for owner in owners:
            owner.zero_grad = self._wrapped(owner, owner.zero_grad)
        try:
            with steps_noted(self._training.optimizers, self._note_update):
                yield
        finally:
            for owner in owners:
                del owner.zero_grad

    def _wrapped(self, owner: Any, original: Callable[..., None]) -> Callable[..., None]:
        def zero_grad(*args: Any, **kwargs: Any) -> None:
            model = owner is self._training.model
            held = owner.parameters() if model else (p for group in owner.param_groups for p in group["params"])
            clear = {id(parameter) for parameter in held if parameter.grad is None}
            self.cleared.update(name for name, tensor in self._tensors.items() if id(tensor) in clear)
            self._zeroed = True
            original(*args, **kwargs)

        return zero_grad

    def _note_update(self) -> None:
        self._before_update()
        self._stepped = True
        self.updated.extend(name for name, tensor in self._tensors.items() if tensor.grad is not None)

    def check(self) -> None:
        """When the step is over. Raises CaptureError where what it leaves is meant for a later call."""
        left = {name: tensor.grad for name, tensor in self._tensors.items() if tensor.grad is not None}
        if left and not self._stepped:
            raise CaptureError(
                "the step leaves gradients and steps no optimizer, so they may be meant for a later call; do all "
                "micro-batches of one update in one step, or clear them at its end (model.zero_grad())"
            )
        if left and not self._zeroed:
            raise CaptureError(
                "gradients stay set after the step and the step never clears them, so the next one would add to them; "
                "call optimizer.zero_grad() inside the step"
            )
        self._left = {name: gradient for name, gradient in left.items() if name not in self.cleared}

    def refuse_read(self, module: GraphModule) -> None:
        """Raises CaptureError where the next step would add to a gradient that this one leaves, and something reads it:
        what is left in the graph, without what is not used, says so."""
        values = [node.meta.get("val") for node in module.graph.nodes]  # each result that is read is a node
        kept = {storage_key(value) for value in values if isinstance(value, torch.Tensor)}
        for name, gradient in self._left.items():
            if storage_key(gradient) in kept:
                raise CaptureError(
                    f"the gradient of {name} stays set after the step, and the next step would add to it and use the "
                    "sum; clear all gradients inside the step (model.zero_grad())"
                )
