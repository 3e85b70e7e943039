"""transformers' Trainer with planned steps: `class PlannedTrainer(RoamMixin, Trainer): pass`; nothing else changes.

The loop stays Trainer's: data, schedules, logs, evaluation, checkpoints, callbacks. What is planned is one whole step:
Trainer's own (or the user's) `training_step`, clipping with the norm that is logged, the optimizer's step and
`zero_grad`. All of it runs when the loop calls `training_step`; what the loop does afterwards finds the norm ready,
the optimizer stepped and the gradients cleared.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from roam_lab.capture.step import StepFunction
from roam_lab.errors import CaptureError, MismatchError, RoamError
from roam_lab.runtime import hook
from roam_lab.runtime.planned_step import OnMismatch, PlannedStep
from roam_lab.runtime.reasons import Reason, Reasons
from roam_lab.runtime.self_check import Check
from roam_lab.session import profile

_OURS = ("training_step", "_prepare_inputs")
"""What no class may override before the mixin: it would run around the whole planned step."""
_CLIPPING = ("_clip_grad_norm", "_get_grad_norm")
"""How Trainer comes to `accelerator.clip_grad_norm_`; before transformers 5 its loop calls that itself."""
_BETWEEN = ("on_pre_optimizer_step", "on_optimizer_step")
"""What callbacks are told between backward and `zero_grad`: they may read gradients, which a planned step has not."""
_FOLLOWED = ("state", "control")
"""Attributes of the loop that capture follows and guards where a step reads them."""
_KNOWN = ("accelerator", "optimizer")
"""Attributes of the loop that Trainer's own step reads: in one training they stay as they are."""


class _Loop:
    """What one trainer's loop keeps between steps.

    Capture follows no object of roam_lab's classes. So it does not walk through data sets, progress bars and data
    loaders, and does not take what the loop counts for state of the step.

    `attributes`: those of the trainer that lie here; `read`: those of them that a step has read. `shown`: a first step
    has run, and has shown them. `ahead`: the optimizer has already stepped for the batch that the loop is at, whose
    gradients had this `norm`. `made_for`: the model, the optimizer and the class of batches that `step` is for.
    """

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}
        self.read: set[str] = set()
        self.training = self.in_step = self.shown = self.ahead = False
        self.norm: Any = None
        self.step: PlannedStep | None = None
        self.made_for: tuple[Any, ...] = ()
        self.refused: str | None = None
        self.reasons = Reasons()
        self.goals: dict[str, Any] = {}
        self.options: dict[str, Any] = {}
        self.answered: list[tuple[Any, str]] = []
        self.patches = ExitStack()

    @contextmanager
    def step_runs(self) -> Iterator[None]:
        """While a training step runs, or is traced."""
        self.in_step = True
        try:
            yield
        finally:
            self.in_step = False

    def answer(self, owner: Any, name: str, answer: Callable[[], Any]) -> None:
        """Until training ends, the loop's call of `owner.name` gives `answer()` where the step is ahead of it."""
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
        """Training is over, or has failed: nothing is patched any more, and the arena's memory is given back."""
        self.training = self.ahead = False
        self.patches.close()
        self.answered.clear()
        if self.step is not None:
            self.step.release()


class _LoopAttribute:
    """An attribute of Trainer that belongs to the loop, to its data or to evaluation, and is kept in `_Loop`."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, trainer: Any, kind: type | None = None) -> Any:
        if trainer is None:
            return self
        held = self._held(trainer)
        if self._name not in held:
            raise AttributeError(f"'{type(trainer).__name__}' object has no attribute '{self._name}'")
        loop = _loop_of(trainer)
        if loop.in_step and not (self._name in _KNOWN and _is_library(sys._getframe(1).f_globals)):
            loop.read.add(self._name)
        return held[self._name]

    def __set__(self, trainer: Any, value: Any) -> None:
        self._held(trainer)[self._name] = value

    def __delete__(self, trainer: Any) -> None:
        del self._held(trainer)[self._name]

    def _held(self, trainer: Any) -> dict[str, Any]:
        own = vars(trainer)
        return own if self._name in own else _loop_of(trainer).attributes


def _loop_of(trainer: Any) -> _Loop:
    loop: _Loop = vars(trainer).setdefault("_roam_loop", _Loop())
    return loop


def _is_library(variables: dict[str, Any]) -> bool:
    return str(variables.get("__name__")).partition(".")[0] in ("transformers", "accelerate", "roam_lab")


class RoamMixin:
    """Put it first: `class PlannedTrainer(RoamMixin, Trainer): pass`, or before your own subclass of Trainer.

    `budget`: the most bytes that the whole step may take; `extra_time`: the most time that this may cost, as a fraction
    of the step's; neither: nothing that costs time is done. `on_mismatch` and `check`: as in `roam.hook`. The first
    step of a training runs as Trainer runs it, and shows what a step reads. What cannot be planned goes on as in
    Trainer, and a RoamWarning says once why; with on_mismatch="error" it is a MismatchError.
    """

    control = _LoopAttribute()
    state = _LoopAttribute()
    callback_handler = _LoopAttribute()
    lr_scheduler = _LoopAttribute()
    accelerator = _LoopAttribute()
    optimizer = _LoopAttribute()  # as accelerate prepared it; capture is given the one inside
    current_flos = _LoopAttribute()
    _tr_loss = _LoopAttribute()
    _total_loss_scalar = _LoopAttribute()
    _globalstep_last_logged = _LoopAttribute()
    _memory_tracker = _LoopAttribute()
    train_dataset = _LoopAttribute()
    eval_dataset = _LoopAttribute()
    data_collator = _LoopAttribute()
    compute_metrics = _LoopAttribute()
    preprocess_logits_for_metrics = _LoopAttribute()
    model_init = _LoopAttribute()
    gather_function = _LoopAttribute()
    _eval_dataloaders = _LoopAttribute()

    def __init__(
        self, *args: Any, budget: int | None = None, extra_time: float | None = None,
        on_mismatch: OnMismatch = "eager", check: Check = "first", **kwargs: Any,
    ) -> None:  # fmt: skip
        loop = _loop_of(self)
        loop.goals = {"budget": budget, "extra_time": extra_time}
        loop.options = {"on_mismatch": on_mismatch, "check": check}
        self._roam_logs: list[Any] = []  # of logs inside a step: capture has to see it
        super().__init__(*args, **kwargs)

    @property
    def roam_step(self) -> PlannedStep | None:
        """The hooked step, with `planned_steps`, `eager_steps` and `reasons`; None before there is one."""
        return _loop_of(self).step

    @property
    def roam_reasons(self) -> dict[str, int]:
        """Sentence -> number of the steps that ran as in Trainer for it; the hooked step counts its own."""
        return _loop_of(self).reasons

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As Trainer's."""
        trainer: Any = super()
        loop = _loop_of(self)
        loop.training, loop.shown, loop.refused = True, False, None
        try:
            return trainer.train(*args, **kwargs)
        finally:
            loop.end()

    def log(self, logs: Any, *args: Any, **kwargs: Any) -> None:
        """As Trainer's; what is logged inside a step is logged when the step is over."""
        trainer: Any = super()
        if _loop_of(self).in_step:
            self._roam_logs.append((logs, args, kwargs))
        else:
            trainer.log(logs, *args, **kwargs)

    def _prepare_inputs(self, inputs: Any) -> Any:
        trainer: Any = super()
        return inputs if _loop_of(self).in_step and _loop_of(self).shown else trainer._prepare_inputs(inputs)

    def training_step(self, model: torch.nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """A whole planned step, where it can be planned; else as Trainer's."""
        trainer: Any = super()
        loop = _loop_of(self)
        loop.ahead = False
        given = () if num_items_in_batch is None else (num_items_in_batch,)
        if not loop.training:
            return trainer.training_step(model, inputs, *given)
        reason = self._why_eager(model)
        if reason is not None:
            if loop.options["on_mismatch"] == "error":
                raise MismatchError(f"{reason}; train with Trainer alone, or use on_mismatch='eager'")
            loop.reasons.count(Reason(reason))
            return trainer.training_step(model, inputs, *given)
        if not loop.shown:
            with loop.step_runs():
                loss = trainer.training_step(model, inputs, *given)
            loop.shown = True
        else:
            loss = self._planned(model, self._prepare_inputs(inputs), given)
        self._after_step()
        return loss

    def _planned(self, model: torch.nn.Module, inputs: Any, given: tuple[Any, ...]) -> Any:
        """The loss of one step of the hook, after which the loop has to do nothing; where there is no hook, of
        Trainer's own training_step."""
        trainer: Any = super()
        loop = _loop_of(self)
        if not _is_users(trainer.training_step):  # Trainer's own does so first, and capture tells modes apart
            model.train()
            if callable(getattr(self.optimizer, "train", None)):
                self.optimizer.train()
        optimizer = _unprepared(self.optimizer)
        kind = type(inputs)
        batch = (dict(inputs) if isinstance(inputs, Mapping) else inputs, *given)
        made_for = (model, optimizer, kind)
        if loop.step is None or any(one is not other for one, other in zip(made_for, loop.made_for, strict=True)):
            try:
                loop.step, loop.made_for = None, made_for
                loop.step = _hooked(model, optimizer, batch, self._whole_step(kind), loop.goals, loop.options)
            except CaptureError as error:
                if loop.options["on_mismatch"] == "error":
                    raise
                loop.refused = str(error)
                loop.reasons.count(Reason(loop.refused))
                with loop.step_runs():
                    return trainer.training_step(model, inputs, *given)
        loop.answer(self.accelerator, "clip_grad_norm_", lambda: loop.norm)
        loop.answer(self.optimizer, "step", lambda: self._already_stepped(model))
        loss, loop.norm = loop.step(batch)
        loop.ahead = True
        return loss

    def _whole_step(self, kind: type) -> StepFunction:
        """From the prepared batch to cleared gradients, what Trainer and its loop do. `kind`: the class of batches."""
        trainer: Any = self

        def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, batch: Any) -> Any:
            inputs, *given = batch
            with _loop_of(trainer).step_runs():
                loss = super(RoamMixin, trainer).training_step(model, kind(inputs), *given)  # type: ignore[misc]
                norm = trainer._roam_norm(model)
            optimizer.step()
            model.zero_grad()
            return loss, norm

        return step

    def _roam_norm(self, model: torch.nn.Module) -> Any:
        """The norm of the gradients, which it clips, as the loop of the installed transformers does."""
        trainer: Any = self
        most = trainer.args.max_grad_norm
        if most is not None and most > 0:
            return trainer.accelerator.clip_grad_norm_(model.parameters(), most)
        if hasattr(trainer, "_get_grad_norm"):  # logged where nothing is clipped, too
            return trainer.accelerator.clip_grad_norm_(model.parameters(), math.inf)
        return None

    def _already_stepped(self, model: torch.nn.Module) -> None:
        """In place of the optimizer's step. Raises RoamError where gradients have come up since the planned one."""
        self.optimizer._opt_called = True  # what schedulers look for
        _loop_of(self).ahead = False
        if any(parameter.grad is not None for parameter in model.parameters()):
            raise RoamError(
                "there are gradients that were made after the planned step, which has already stepped the optimizer; "
                "make them in training_step or compute_loss, or train with Trainer alone"
            )

    def _after_step(self) -> None:
        """What a step has logged, and what is known of it now."""
        trainer: Any = super()
        loop = _loop_of(self)
        while self._roam_logs:
            logs, args, kwargs = self._roam_logs.pop(0)
            trainer.log(logs, *args, **kwargs)
        for name in _FOLLOWED:
            if name in loop.read and name in loop.attributes:
                vars(self)[name] = loop.attributes.pop(name)
                loop.step = None  # one that was captured without it would not see it change

    def _why_eager(self, model: torch.nn.Module) -> str | None:
        """What of this training, as it is now, cannot be planned; None where all can be."""
        trainer: Any = self
        loop, args, accelerator = _loop_of(self), trainer.args, trainer.accelerator
        name = type(self).__name__
        for method in _OURS:
            if method in vars(self) or getattr(type(self), method) is not getattr(RoamMixin, method):
                return f"{name}.{method} comes before RoamMixin's; put it into a class behind it: {name}(RoamMixin, ...)"
        for method in _CLIPPING:
            if hasattr(self, method) and _is_users(getattr(self, method)):
                return f"{name} has a {method} of its own"
        for callback in trainer.callback_handler.callbacks:
            for event in _BETWEEN:
                if _is_users(getattr(callback, event, None)):
                    return f"{type(callback).__name__}.{event} may read gradients, which a planned step does not keep"
        if args.gradient_accumulation_steps > 1:
            return "gradients are accumulated over several batches (gradient_accumulation_steps)"
        distributed = accelerator.distributed_type.value
        if distributed != "NO" or args.parallel_mode.value not in ("not_parallel", "not_distributed"):
            return f"training is distributed ({distributed}, {args.parallel_mode.value})"
        if model is not trainer.model:
            return f"the model is wrapped in a {type(model).__name__}"
        if args.torch_compile:
            return "the model is compiled (torch_compile)"
        if accelerator.scaler is not None or getattr(trainer, "use_apex", False):
            return "the loss is scaled (fp16)"
        if args.torch_empty_cache_steps is not None:
            return "caches are emptied in the middle of steps (torch_empty_cache_steps), which planned steps do not need"
        if getattr(args.optim, "value", args.optim) in ("lomo", "adalomo"):
            return f"the optimizer {args.optim} steps while gradients are computed"
        if "accelerator" in loop.read and accelerator.gradient_state.end_of_dataloader:
            return "it is the last batch of an epoch, of which accelerator.gather_for_metrics may take a part"
        hidden = sorted(loop.read.difference(_FOLLOWED, _KNOWN))
        if hidden:
            return f"the step reads {hidden[0]} of the Trainer, which belongs to its loop"
        return loop.refused


def _is_users(method: Any) -> bool:
    """Whether a method is none of transformers' own Trainer and base of callbacks."""
    home = getattr(method, "__module__", None)
    return method is not None and home not in ("transformers.trainer", "transformers.trainer_callback")


def _unprepared(optimizer: Any) -> torch.optim.Optimizer:
    """The optimizer that accelerate has wrapped."""
    while type(optimizer).__name__ == "AcceleratedOptimizer":
        optimizer = optimizer.optimizer
    return optimizer  # type: ignore[no-any-return]


def _hooked(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, batch: Any, step: StepFunction,
    goals: dict[str, Any], options: dict[str, Any],
) -> PlannedStep:  # fmt: skip
    """`roam.hook` without a plan: profiled and planned for this batch."""
    plan = profile(model, batch, optimizer, step=step).plan(**goals)
    return hook(plan, model, optimizer, step=step, **options)
