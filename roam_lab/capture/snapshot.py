"""A snapshot of model, optimizer and random state, taken before a training step and put back after it."""

from __future__ import annotations

import random
from typing import Any, cast

import numpy
import torch

from roam_lab.capture.inputs import groups_of
from roam_lab.capture.sources.reachable import Reachable
from roam_lab.capture.training_step import OptimizerOrSeveral, optimizers_of
from roam_lab.errors import CaptureError
from roam_lab.interrupt import held


class Snapshot:
    """Model, optimizer and random state at one moment; `restore` puts all of it back, in place.

    Holds one copy in CPU memory of every parameter, buffer, gradient and optimizer-state tensor. Tensors that
    appeared since (optimizer state, gradients) are dropped again; those that were there keep their identity and
    address. Other state of the user's step (a GradScaler, a data loader) is not put back; `FullSnapshot` does that.
    """

    def __init__(self, model: torch.nn.Module, optimizer: OptimizerOrSeveral) -> None:
        self._model, self._optimizers = model, optimizers_of(optimizer)
        self._random = RandomState()
        self._modes = {module: module.training for module in model.modules()}
        self._slots: list[tuple[dict[str, Any], dict[str, Any]]] = [
            (slots, dict(slots))
            for module in model.modules()
            for slots in (cast("dict[str, Any]", module._parameters), cast("dict[str, Any]", module._buffers))
        ]
        self._state = [{key: _shallow(value) for key, value in each.state.items()} for each in self._optimizers]
        self._groups = [(group, dict(group)) for _, _, group in groups_of(self._optimizers)]
        parameters = {id(p): p for p in model.parameters()}
        parameters.update((id(p), p) for _, group in self._groups for p in group["params"])
        self._gradients = [(p, p.grad) for p in parameters.values()]
        tensors = [*parameters.values(), *model.buffers(), *(g for _, g in self._gradients if g is not None)]
        tensors += _tensors([*self._state, *(group for _, group in self._groups)])
        unique = {id(tensor): tensor for tensor in tensors}
        self._values = [(tensor, tensor.detach().to("cpu", copy=True)) for tensor in unique.values()]

    def restore(self) -> None:
        """Put everything back. May be called more than once; an interrupt waits until that is done."""
        with held():
            self._restore()

    def _restore(self) -> None:
        for tensor, value in self._values:
            tensor.data.copy_(value)
        for slots, before in self._slots:
            slots.clear()
            slots.update(before)
        for parameter, gradient in self._gradients:
            parameter.grad = gradient
        for optimizer, state in zip(self._optimizers, self._state, strict=True):
            optimizer.state.clear()
            optimizer.state.update((key, _shallow(value)) for key, value in state.items())
        for group, settings in self._groups:
            group.clear()
            group.update(settings)
        for module, training in self._modes.items():
            module.training = training
        self._random.restore()


class Leaves:
    """Gradients of the leaves that a step reaches, whether they require one, and the attributes that were given to
    tensors, at one moment. `restore` puts them back; the contents of gradients are not copied. A step on fakes may set
    these of the user's own tensors, too."""

    def __init__(self, reachable: Reachable) -> None:
        leaves = [one for _, one in reachable.tensors if one.is_leaf]
        self._leaves = [(one, one.requires_grad, one.grad) for one in leaves]
        self._attributes = [(vars(one), dict(vars(one))) for _, one in reachable.tensors]

    def restore(self) -> None:
        """May be called more than once."""
        for tensor, needs, gradient in self._leaves:
            if tensor.requires_grad != needs:
                tensor.requires_grad_(needs)
            if tensor.grad is not gradient:
                tensor.grad = gradient
        for now, before in self._attributes:
            if now.keys() != before.keys() or any(now[name] is not value for name, value in before.items()):
                now.clear()
                now.update(before)


class RandomState:
    """The random generators a step may draw from: torch (CPU and every CUDA device), Python, NumPy."""

    def __init__(self) -> None:
        self._python = random.getstate()
        self._numpy = numpy.random.get_state()
        self._torch = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None

    def check(self) -> None:
        """Raise CaptureError where Python's or NumPy's generator has moved since construction, as a graph cannot draw
        from them; or torch's, which after a trace (no op was really run) means that the step seeds it."""
        moved = {
            "Python's random module": self._python != random.getstate(),
            "numpy.random": any(
                not numpy.array_equal(a, b) for a, b in zip(self._numpy, numpy.random.get_state(), strict=True)
            ),
        }
        for name, drawn in moved.items():
            if drawn:
                raise CaptureError(
                    f"the step draws from {name}, and a captured step would use the same number for ever; "
                    "draw with torch, or pass the number in the batch"
                )

        if not torch.equal(self._torch, torch.get_rng_state()):
            raise CaptureError(
                "the step seeds torch's random generator in a way that no op shows (torch.seed, a generator's own "
                "manual_seed or set_state), which a planned step would not do again; use torch.manual_seed"
            )

    def restore(self) -> None:
        """Set every generator back to the moment of construction; an interrupt waits until that is done."""
        with held():
            random.setstate(self._python)
            numpy.random.set_state(self._numpy)
            torch.set_rng_state(self._torch)
            if self._cuda is not None:
                torch.cuda.set_rng_state_all(self._cuda)


def _shallow(value: Any) -> Any:
    """A copy of nested dicts and lists around the same tensors."""
    if isinstance(value, dict):
        return {key: _shallow(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shallow(item) for item in value]
    return value


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in _tensors(item)]
    return []
