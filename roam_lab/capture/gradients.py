"""Gradients of a traced step: which of them the step clears, which it leaves set, and whether the next step adds to
those."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from inspect import signature
from typing import Any

import torch
from torch.fx import GraphModule, Node

from roam_lab.capture.always_called import is_always_called
from roam_lab.capture.nodes import storage_key, tensors_of
from roam_lab.capture.replaced import replaced
from roam_lab.capture.sources.optimizers import steps_noted
from roam_lab.capture.torch_internals import get_proxy_mode
from roam_lab.capture.training_step import TrainingStep

HowItLies = tuple[torch.dtype, tuple[int, ...], int]


def how_it_lies(gradient: torch.Tensor) -> HowItLies:
    """What a step that adds to a gradient relies on besides its shape: dtype, strides, offset in its storage
    (elements)."""
    return gradient.dtype, tuple(map(int, gradient.stride())), int(gradient.storage_offset())


class LeftForLaterError(Exception):
    """The step uses gradients that it leaves set and that the next step would add to; it has to be traced again with
    the gradients of these parameters kept."""

    def __init__(self, names: Collection[str]) -> None:
        super().__init__()
        self.names = names


class Gradients:
    """Notes, while a step is traced, what clears gradients and which optimizer steps use them.

    `tensors`: name -> fake of each parameter, with the gradients that the step begins with. `before_update`: called
    before each optimizer step. `later`: names of parameters whose gradients the next step adds to. `cleared`: names of
    parameters whose old gradient, if any, is cleared before one is added. `updated`: names of parameters that have a
    gradient when an optimizer steps. `held`: pairs, in sequence, of the last node before gradients are cleared (or of
    the step) and the keys of the gradients' storages that are alive until then.
    """

    def __init__(
        self,
        training: TrainingStep,
        tensors: Mapping[str, torch.Tensor],
        before_update: Callable[[], None],
        later: Collection[str],
    ) -> None:
        self._training, self._tensors, self._before_update, self._later = training, tensors, before_update, later
        self._begun = {name: (one.grad, one.grad._version) for name, one in tensors.items() if one.grad is not None}
        self.cleared: set[str] = set()
        self.updated: list[str] = []
        self.held: list[tuple[Node, tuple[int, ...]]] = []
        self._stepped: set[int] = set()
        self._sometimes: set[str] = set()
        self._left: dict[str, torch.Tensor] = {}

    @property
    def begun(self) -> dict[str, torch.Tensor]:
        """Parameter's name -> its gradient from before the step, for those that the step adds to or reads."""
        return {name: one for name, (one, _) in self._begun.items() if name not in self.cleared}

    @contextmanager
    def noted(self) -> Iterator[None]:
        """The context in which the step runs, so that it is noted."""
        owners: list[Any] = [self._training.model, *self._training.optimizers]
        wrapped = [(owner, "zero_grad", self._wrapped(owner, owner.zero_grad)) for owner in owners]
        with replaced(wrapped), steps_noted(self._training.optimizers, self._note_update):
            yield

    def _wrapped(self, owner: Any, original: Callable[..., None]) -> Callable[..., None]:
        @wraps(original)  # accelerate looks at its signature
        def zero_grad(*args: Any, **kwargs: Any) -> None:
            model = owner is self._training.model
            held = owner.parameters() if model else (p for group in owner.param_groups for p in group["params"])
            meant = {id(parameter) for parameter in held}
            untouched = {name for name, one in self._tensors.items() if id(one) in meant and self._is_untouched(name)}
            before = self._present()
            original(*args, **kwargs)
            seen = [self._tensors[name].grad is None for name in before.keys() & untouched]
            if any(seen) if seen else _sets_to_none(original, args, kwargs):
                self.cleared.update(name for name in untouched if self._tensors[name].grad is None)
            if not is_always_called(sys._getframe(1), TrainingStep.run.__code__):
                self._sometimes |= untouched  # the next step may go another way, and add to what this one leaves
            self._hold([gradient for name, gradient in before.items() if self._tensors[name].grad is None])

        return zero_grad

    def _note_update(self, optimizer: torch.optim.Optimizer) -> None:
        self._before_update()
        self._stepped |= {id(one) for group in optimizer.param_groups for one in group["params"]}
        self.updated.extend(self._present())

    def _is_untouched(self, name: str) -> bool:
        """Whether the parameter's gradient is still the one that the step began with."""
        now, (begun, version) = self._tensors[name].grad, self._begun.get(name, (None, 0))
        return now is begun and (now is None or now._version == version)

    def _present(self) -> dict[str, torch.Tensor]:
        return {name: tensor.grad for name, tensor in self._tensors.items() if tensor.grad is not None}

    def _hold(self, gradients: Collection[torch.Tensor]) -> None:
        mode = get_proxy_mode()
        keys = tuple(storage_key(one) for one in gradients if one.layout is torch.strided)
        if mode is not None and keys:
            self.held.append((next(iter(reversed(mode.tracer.graph.nodes))), keys))

    def left(self) -> tuple[dict[str, torch.Tensor], frozenset[str]]:
        """Called when the step is over. Returns parameter's name -> gradient for the gradients that the step made and
        that stay set, and the names of all parameters whose gradient stays set, old ones included.

        A gradient that the step leaves stays set where no optimizer has stepped, or none of those that have its
        parameter (a later call will use it), where the next step adds to it, or may (it is cleared in a branch), and
        where the user keeps it (`keep_grads`).
        """
        left, waiting = self._present(), self._waiting()
        self._hold(left.values())
        asked = self._training.keep_grads
        stays = {
            name
            for name in left
            if not self._stepped or name in waiting or name in self._later or name in self._sometimes
            or name in self.begun or asked is True or name in (asked or ())
        }  # fmt: skip
        self._left = {name: one for name, one in left.items() if name not in self.cleared and name not in stays}
        begun = {name: one for name, (one, _) in self._begun.items()}
        made = {name: one for name, one in left.items() if name in stays and one is not begun.get(name)}
        return made, frozenset(stays)

    def _waiting(self) -> set[str]:
        """Names of parameters that an optimizer has and none has stepped, and whose gradients the step does not clear
        first."""
        groups = (group for optimizer in self._training.optimizers for group in optimizer.param_groups)
        held = {id(one) for group in groups for one in group["params"]} - self._stepped
        return {name for name, one in self._tensors.items() if id(one) in held and name not in self.cleared}

    def check_read(self, module: GraphModule) -> None:
        """Raise LeftForLaterError where the next step would add to a gradient that this one leaves and does not keep,
        and a node of the graph (from which unused nodes were removed) reads it."""
        values = [node.meta.get("val") for node in module.graph.nodes]  # each result that is read is a node
        kept = {storage_key(value) for value in values if isinstance(value, torch.Tensor)}
        read = [name for name, gradient in self._left.items() if storage_key(gradient) in kept]
        if read:
            raise LeftForLaterError(read)


def _sets_to_none(zero_grad: Callable[..., None], args: Any, kwargs: Any) -> bool:
    """Whether this call of `zero_grad` would remove a gradient, by its arguments; one that it fills with zeros is there
    for the next step, which may update a parameter by it."""
    try:
        given = signature(zero_grad).bind(*args, **kwargs)
    except (TypeError, ValueError):
        return False
    given.apply_defaults()
    return given.arguments.get("set_to_none", False) is not False


def gradients_held(module: GraphModule, held: Collection[tuple[Node, tuple[int, ...]]]) -> dict[Node, list[Node]]:
    """Node -> the gradients (as nodes) that eager keeps alive until that node has run. `held`: see Gradients. A node
    that a pass has removed is replaced by the one before it."""
    nodes = dict.fromkeys(module.graph.nodes)
    of_key: dict[int, Node] = {}
    for node in nodes:  # the first that is this tensor alone: it is there by then
        if len(tensors_of(node)) == 1:
            of_key.setdefault(storage_key(tensors_of(node)[0]), node)
    found: dict[Node, list[Node]] = {}
    for last, keys in held:
        while last not in nodes:
            last = last.prev
        found.setdefault(last, []).extend(of_key[key] for key in keys if key in of_key)
    return found
