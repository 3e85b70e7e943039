"""Gradients of a traced step: which are cleared, which are left, and whether the next step would add to those."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.fx import GraphModule, Node

from roam_lab.capture.nodes import storage_key, tensors_of
from roam_lab.capture.sources.optimizers import steps_noted
from roam_lab.capture.torch_internals import get_proxy_mode
from roam_lab.capture.trace import Trace
from roam_lab.capture.training_step import TrainingStep
from roam_lab.errors import CaptureError


class Gradients:
    """Notes, while a step is traced, what clears gradients and which optimizer steps use them.

    `tensors`: name -> the fake of each parameter. `before_update`: called before each optimizer step. `cleared`: names
    of the parameters whose gradient, if one is left from before, is cleared before one is added. `updated`: names of
    those that have a gradient when an optimizer steps. `held`: (the last node before gradients are cleared, or the last
    of the step; keys of the storages of gradients that are there until then), in sequence.
    """

    def __init__(
        self, training: TrainingStep, tensors: Mapping[str, torch.Tensor], before_update: Callable[[], None]
    ) -> None:
        self._training, self._tensors, self._before_update = training, tensors, before_update
        self.cleared: set[str] = set()
        self.updated: list[str] = []
        self.held: list[tuple[Node, tuple[int, ...]]] = []
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
            before = self._present()
            original(*args, **kwargs)
            self._hold([gradient for name, gradient in before.items() if self._tensors[name].grad is None])

        return zero_grad

    def _note_update(self) -> None:
        self._before_update()
        self._stepped = True
        self.updated.extend(self._present())

    def _present(self) -> dict[str, torch.Tensor]:
        return {name: tensor.grad for name, tensor in self._tensors.items() if tensor.grad is not None}

    def _hold(self, gradients: Collection[torch.Tensor]) -> None:
        mode = get_proxy_mode()
        keys = tuple(storage_key(one) for one in gradients if one.layout is torch.strided)
        if mode is not None and keys:
            self.held.append((next(iter(reversed(mode.tracer.graph.nodes))), keys))

    def check(self) -> None:
        """When the step is over. Raises CaptureError where what it leaves is meant for a later call."""
        left = self._present()
        self._hold(left.values())
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


def gradients_held(trace: Trace) -> dict[Node, list[Node]]:
    """Node -> the nodes whose storages are those of gradients that eager holds until it has run. Nodes that are no more
    in the graph give way to the one before."""
    nodes = dict.fromkeys(trace.module.graph.nodes)
    of_key: dict[int, Node] = {}
    for node in nodes:  # the first that is this tensor alone: it is there by then
        if len(tensors_of(node)) == 1:
            of_key.setdefault(storage_key(tensors_of(node)[0]), node)
    found: dict[Node, list[Node]] = {}
    for last, keys in trace.gradients_held:
        while last not in nodes:
            last = last.prev
        found.setdefault(last, []).extend(of_key[key] for key in keys if key in of_key)
    return found
