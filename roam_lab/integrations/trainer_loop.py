"""What belongs to a Trainer's loop and to no training step, stored where capture does not walk through it."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from roam_lab.distributed import Ranks, is_replicated
from roam_lab.runtime.planned_step import PlannedStep
from roam_lab.runtime.reasons import Reasons

KNOWN = ("accelerator", "optimizer")
"""Attributes of the loop that Trainer's own step reads, and that do not change during one training."""


class Loop:
    """What one trainer's loop keeps between steps.

    Capture follows no object of roam_lab's classes. So it does not walk through data sets, progress bars and data
    loaders, and does not take what the loop counts for state of the step.

    `attributes`: those of the trainer that are stored here; `read`: those of them that a step has read. `shown`: a
    first step has run, so `read` is known. `ahead`: the optimizer has already stepped for the loop's present batch,
    whose gradients had this `norm`. `ranks`: those that train together, None where there is one.
    `made_for`: the model, the optimizer, class and size of batches that `step` is for.
    """

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}
        self.read: set[str] = set()
        self.training = self.in_step = self.prepared = self.shown = self.ahead = False
        self.norm: Any = None
        self.step: PlannedStep | None = None
        self.made_for: tuple[Any, ...] = ()
        self.ranks: Ranks | None = None
        self.reasons = Reasons()
        self.options: dict[str, Any] = {}
        self.answered: list[tuple[Any, str]] = []
        self.patches = ExitStack()

    @contextmanager
    def step_runs(self, prepared: bool = True) -> Iterator[None]:
        """A context in which a training step runs, or is traced. `prepared`: its inputs come from `_prepare_inputs`."""
        self.in_step, self.prepared = True, prepared
        try:
            yield
        finally:
            self.in_step = self.prepared = False

    def agreed(self, model: torch.nn.Module, *wishes: bool) -> list[bool]:
        """For each of these, whether it is true on any rank; called by all ranks together."""
        if not is_replicated(model):
            return list(wishes)
        self.ranks = self.ranks or Ranks(model.process_group)
        return [bool(one) for one in self.ranks.largest(*map(int, wishes))]

    def answer(self, owner: Any, name: str, answer: Callable[[], Any]) -> None:
        """Until training ends, a call of `owner.name` returns `answer()` if the planned step has stepped already."""
        if any(one is owner and known == name for one, known in self.answered):
            return
        original, held = getattr(owner, name), vars(owner).get(name)

        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            return answer() if self.ahead and not self.in_step else original(*args, **kwargs)

        def put_back() -> None:
            delattr(owner, name) if held is None else setattr(owner, name, held)

        setattr(owner, name, call)
        self.answered.append((owner, name))
        self.patches.callback(put_back)

    def end(self) -> None:
        """Training is over, or has failed: undo all patches, and free the arena."""
        self.training = self.ahead = False
        self.ranks = None
        self.patches.close()
        self.answered.clear()
        if self.step is not None:
            self.step.release()


class LoopAttribute:
    """An attribute of Trainer that belongs to the loop, to its data or to evaluation, and is stored in `Loop`."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, trainer: Any, kind: type | None = None) -> Any:
        if trainer is None:
            return self
        held = self._held(trainer)
        if self._name not in held:
            raise AttributeError(f"'{type(trainer).__name__}' object has no attribute '{self._name}'")
        loop = loop_of(trainer)
        if loop.in_step and not (self._name in KNOWN and _is_library(sys._getframe(1).f_globals)):
            loop.read.add(self._name)
        return held[self._name]

    def __set__(self, trainer: Any, value: Any) -> None:
        self._held(trainer)[self._name] = value

    def __delete__(self, trainer: Any) -> None:
        del self._held(trainer)[self._name]

    def _held(self, trainer: Any) -> dict[str, Any]:
        own = vars(trainer)
        return own if self._name in own else loop_of(trainer).attributes


def loop_of(trainer: Any) -> Loop:
    """The Loop of a trainer, made at the first use, before any attribute of Trainer is set."""
    loop: Loop = vars(trainer).setdefault("_roam_loop", Loop())
    return loop


def _is_library(variables: dict[str, Any]) -> bool:
    return str(variables.get("__name__")).partition(".")[0] in ("transformers", "accelerate", "roam_lab")
