"""What a planned step reads of Lightning's Trainer, and how its calls of `log` are made."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch

from roam_lab.capture.sources.world import on_trial
from roam_lab.capture.torch_internals import FakeTensor
from roam_lab.capture.user_lines import user_line
from roam_lab.errors import CaptureError

_NUMBERS = ("current_epoch", "global_step")
_FIXED = (
    "accumulate_grad_batches", "barebones", "check_val_every_n_epoch", "evaluating", "global_rank",
    "gradient_clip_algorithm", "gradient_clip_val", "is_global_zero", "local_rank", "log_every_n_steps", "max_epochs",
    "max_steps", "min_epochs", "min_steps", "node_rank", "num_devices", "num_nodes", "num_training_batches",
    "precision", "predicting", "sanity_checking", "testing", "training", "validating", "world_size",
)  # fmt: skip
_TRAINED = ("lightning_module", "optimizers")
_BETWEEN_HOOKS = ("callbacks", "precision_plugin", "profiler", "strategy")
"""Attributes that only Lightning's own code may read in a step."""
_OWN = ("_trainer", "_values", "_traced", "_several", "used")
_LIGHTNING = ("lightning.pytorch.", "pytorch_lightning.")
_REDUCTIONS = {
    torch.mean: "mean",
    torch.sum: "sum",
    sum: "sum",
    torch.max: "max",
    max: "max",
    torch.min: "min",
    min: "min",
}


class TrainerUsedError(CaptureError):
    """A step reads an attribute of the Trainer whose changes planned steps would not notice; other steps may not."""


class TrainerInStep:
    """Stands for the Trainer while steps are captured, planned and checked.

    A captured step must not read what may change without its noticing. What it may read of the Trainer is part of the
    batch (`values`): numbers that change, and, as text, values that seldom do. Any other attribute is refused in
    capture and in the trial run; a step that runs eagerly gets the Trainer's own value, and the sentence `used` names
    the attribute. `capture` does not walk into this object, hence not into loops, loggers and data sets. `several`:
    other ranks run the same step and wait for its collectives; then attributes are refused in capture alone, which runs
    none.
    """

    def __init__(self, trainer: Any, several: bool = False) -> None:
        self._trainer, self._several = trainer, several
        self._values: Mapping[str, Any] = {}
        self._traced = False
        self.used: str | None = None

    def values(self) -> dict[str, Any]:
        """What a step may read of the Trainer, as it is now."""
        numbers = {name: getattr(self._trainer, name) for name in _NUMBERS}
        accumulates = int(self._trainer.fit_loop._should_accumulate())
        return {**numbers, "accumulates": accumulates, "trainer": self._text()}

    def _text(self) -> str:
        return ", ".join(f"{name}={getattr(self._trainer, name)!r}" for name in _FIXED)

    @contextmanager
    def in_place_of(self, trainer: Any, module: Any, loop: Any) -> Iterator[None]:
        """A context in which the module and the loop have this object in place of the Trainer."""
        module.trainer = loop.trainer = self
        try:
            yield
        finally:
            module.trainer = loop.trainer = trainer

    @contextmanager
    def reading(self, values: Mapping[str, Any], traced: bool) -> Iterator[None]:
        """The context of one step, which reads `values`; `traced`: it is being captured."""
        self._values, self._traced = values, traced
        try:
            yield
        finally:
            self._values, self._traced = {}, False

    def __getattr__(self, name: str) -> Any:
        if name in _NUMBERS:
            return self._values[name]
        if name in _FIXED:
            return self._fixed(name)
        frame = sys._getframe(1)
        if name in _TRAINED or (name in _BETWEEN_HOOKS and _is_lightnings(frame)):
            return getattr(self._trainer, name)
        if name == "fit_loop" and _is_lightnings(frame):
            return SimpleNamespace(_should_accumulate=lambda: self._values["accumulates"] == 1)
        self._use(name, frame)
        return getattr(self._trainer, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            object.__setattr__(self, name, value)
        else:
            self._use(name, sys._getframe(1))
            setattr(self._trainer, name, value)

    def _fixed(self, name: str) -> Any:
        """The Trainer's own value, if the batch has the same as text. Comparing the text makes capture guard it."""
        if self._values["trainer"] != self._text():
            raise CaptureError(f"the step was told another trainer.{name}")
        return getattr(self._trainer, name)

    def _use(self, name: str, frame: Any) -> None:
        while frame is not None and _is_lightnings(frame):
            frame = frame.f_back
        sentence = f"{user_line(frame) or 'the step'}: the step uses trainer.{name}, which planned steps do not follow"
        if self._traced or (on_trial() and not self._several):
            raise TrainerUsedError(
                f"{sentence}; keep what it needs of it in the module, or use it in a hook around the step"
            )
        self.used = sentence


def _is_lightnings(frame: Any) -> bool:
    return str(frame.f_globals.get("__name__")).startswith(_LIGHTNING)


def is_traced(module: torch.nn.Module) -> bool:
    """Whether a step of this module is being captured, and not run."""
    return any(isinstance(parameter, FakeTensor) for parameter in module.parameters())


class Logged:
    """Calls of `self.log`: recorded while a step runs (`calls`, plain data), and made after it (`log`)."""

    def __init__(self, module: Any, calls: Collection[Mapping[str, Any]] = ()) -> None:
        self._module = module
        self.calls = [dict(call) for call in calls]

    @contextmanager
    def instead_of_log(self, callbacks: Collection[Any]) -> Iterator[None]:
        """A context in which `log` of the module and of these callbacks is `note`."""
        replaced = [(vars(one), vars(one).get("log")) for one in (self._module, *callbacks)]
        for held, _ in replaced:
            held["log"] = self.note
        try:
            yield
        finally:
            for held, before in replaced:
                del held["log"]
                if before is not None:
                    held["log"] = before

    def note(self, name: str, value: Any, *args: Any, **kwargs: Any) -> None:
        """In place of `LightningModule.log`: record the call, to be made after the step."""
        metric = next((path for path, one in self._module.named_modules() if one is value), None)
        if isinstance(value, torch.Tensor):
            value = value.detach().clone()  # as it is now
        if "reduce_fx" in kwargs:
            kwargs["reduce_fx"] = _REDUCTIONS.get(kwargs["reduce_fx"], kwargs["reduce_fx"])
        hook = self._module._current_fx_name
        value = None if metric is not None else value
        self.calls.append({"hook": hook, "name": name, "metric": metric, "value": value, "args": args, "how": kwargs})

    def log(self) -> None:
        """Make every recorded call, under the name of the hook that made it."""
        now = self._module._current_fx_name
        try:
            for call in self.calls:
                metric = call["metric"]
                value = call["value"] if metric is None else self._module.get_submodule(metric)
                self._module._current_fx_name = call["hook"]
                self._module.log(call["name"], value, *call["args"], **call["how"])
        finally:
            self._module._current_fx_name = now
