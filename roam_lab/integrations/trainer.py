"""transformers' Trainer with planned steps: `class PlannedTrainer(RoamMixin, Trainer): pass`; nothing else changes.

The loop stays Trainer's: data, schedules, logs, evaluation, checkpoints, callbacks. What is planned is one whole step:
Trainer's own (or the user's) `training_step`, clipping with the norm that is logged, the optimizer's step and
`zero_grad`. All of it runs when the loop calls `training_step`. Its later calls then only return the norm: the
optimizer has stepped, and gradients are cleared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from roam_lab.capture import optimizers_of
from roam_lab.capture.step import StepFunction
from roam_lab.errors import CaptureError, InfeasibleError, InputError, MismatchError, ParameterError, RoamError
from roam_lab.integrations.trainer_limits import FOLLOWED, is_users, why_eager
from roam_lab.integrations.trainer_loop import LoopAttribute, loop_of
from roam_lab.runtime import hook
from roam_lab.runtime.choice import OnMismatch
from roam_lab.runtime.planned_step import PlannedStep
from roam_lab.runtime.reasons import Reason
from roam_lab.runtime.self_check import Check, check_of


class RoamMixin:
    """Put it first: `class PlannedTrainer(RoamMixin, Trainer): pass`, or before your own subclass of Trainer.

    `budget`: the most that the whole step may take, in bytes or as "24GiB"; `extra_time`: the most time that this may
    cost, as a fraction of the step's; neither: the plan adds no time. `on_mismatch` and `check`: as in
    `roam.hook`. The first step of a training runs as Trainer runs it, and shows what a step reads. Steps that cannot
    be planned run as in Trainer, and a RoamWarning says once why; with on_mismatch="error" it is a MismatchError.
    """

    control = LoopAttribute()
    state = LoopAttribute()
    callback_handler = LoopAttribute()
    lr_scheduler = LoopAttribute()
    accelerator = LoopAttribute()
    optimizer = LoopAttribute()  # accelerate's wrapper; capture is given the optimizer inside it
    current_flos = LoopAttribute()
    _tr_loss = LoopAttribute()
    _total_loss_scalar = LoopAttribute()
    _globalstep_last_logged = LoopAttribute()
    _memory_tracker = LoopAttribute()
    train_dataset = LoopAttribute()
    eval_dataset = LoopAttribute()
    data_collator = LoopAttribute()
    compute_metrics = LoopAttribute()
    preprocess_logits_for_metrics = LoopAttribute()
    model_init = LoopAttribute()
    gather_function = LoopAttribute()
    _eval_dataloaders = LoopAttribute()

    def __init__(
        self, *args: Any, budget: int | str | None = None, extra_time: float | None = None,
        on_mismatch: OnMismatch = "eager", check: Check = "first", **kwargs: Any,
    ) -> None:  # fmt: skip
        loop = loop_of(self)
        if on_mismatch not in ("eager", "error", "replan"):
            raise InputError(f"on_mismatch is {on_mismatch!r}; choose 'eager', 'error' or 'replan'")
        loop.options = {
            "on_mismatch": on_mismatch, "check": check_of(check), "budget": budget, "extra_time": extra_time
        }  # fmt: skip
        self._roam_logs: list[Any] = []  # what a step has logged; an attribute, so that capture finds it
        super().__init__(*args, **kwargs)

    @property
    def roam_step(self) -> PlannedStep | None:
        """The hooked step, with `planned_steps`, `eager_steps` and `reasons`; None before there is one."""
        return loop_of(self).step

    @property
    def roam_reasons(self) -> dict[str, int]:
        """For each reason, a sentence, how many steps ran as in Trainer because of it; `roam_step` counts its own."""
        return loop_of(self).reasons

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As Trainer's."""
        trainer: Any = super()
        loop = loop_of(self)
        loop.training, loop.shown = True, False
        try:
            return trainer.train(*args, **kwargs)
        finally:
            loop.end()

    def log(self, logs: Any, *args: Any, **kwargs: Any) -> None:
        """As Trainer's; what a step logs is recorded, and logged when the step is over."""
        trainer: Any = super()
        if loop_of(self).in_step:
            self._roam_logs.append((logs, args, kwargs))
        else:
            trainer.log(logs, *args, **kwargs)

    def _prepare_inputs(self, inputs: Any) -> Any:
        trainer: Any = super()
        if not loop_of(self).prepared:
            return trainer._prepare_inputs(inputs)
        kind: Any = type(inputs)
        return kind({**inputs}) if isinstance(inputs, Mapping) else inputs  # a new object, as Trainer's is

    def training_step(self, model: torch.nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """A whole planned step if it can be planned; otherwise as Trainer's."""
        trainer: Any = super()
        loop = loop_of(self)
        loop.ahead = False
        given = () if num_items_in_batch is None else (num_items_in_batch,)
        if not loop.training:
            return trainer.training_step(model, inputs, *given)
        reason = why_eager(self, RoamMixin, model)
        to_show = not loop.shown or (loop.step is None and self._is_smaller(inputs))
        eager, to_show = loop.agreed(model, reason is not None, to_show)
        if eager:
            reason = reason or "another rank runs this step without a plan"
            if loop.options["on_mismatch"] == "error":
                raise MismatchError(f"{reason}; train with Trainer alone, or use on_mismatch='eager'")
            loop.reasons.count(Reason(reason))
            return trainer.training_step(model, inputs, *given)
        if to_show:
            with loop.step_runs(prepared=False):
                loss = trainer.training_step(model, inputs, *given)
            loop.shown = True
        else:
            inputs = self._prepare_inputs(inputs)
            try:
                loss = self._planned(model, inputs, given)
            except (InfeasibleError, ParameterError):
                raise
            except RoamError as error:  # capture has put everything back
                together = isinstance(error, CaptureError | MismatchError)  # else a rank has ended, and training, too
                if loop.options["on_mismatch"] == "error" or (loop.ranks is not None and not together):
                    raise
                loop.reasons.count(Reason(str(error)))
                with loop.step_runs():
                    loss = trainer.training_step(model, inputs, *given)
        self._after_step()
        return loss

    def _planned(self, model: torch.nn.Module, inputs: Any, given: tuple[Any, ...]) -> Any:
        """The loss of one step of the hook, after which there is nothing for the loop to do."""
        trainer: Any = super()
        loop = loop_of(self)
        if not is_users(trainer.training_step):  # as Trainer's own does; each mode has a capture
            model.train()
            if callable(getattr(self.optimizer, "train", None)):
                self.optimizer.train()
        [optimizer], kind = optimizers_of(self.optimizer), type(inputs)
        updates = bool(self.accelerator.sync_gradients)  # else a later step adds to the gradients of this one
        batch = (dict(inputs) if isinstance(inputs, Mapping) else inputs, *given, updates)
        made_for = (model, optimizer, kind, getattr(self, "_train_batch_size", None))
        if loop.step is None or made_for != loop.made_for:
            loop.step, loop.made_for = None, made_for
            loop.step = hook(model, optimizer, step=self._whole_step(kind), **loop.options)
        loop.answer(self.accelerator, "clip_grad_norm_", lambda: loop.norm)
        loop.answer(self.optimizer, "step", lambda: self._already_stepped(model))
        loss, loop.norm = loop.step(batch)
        loop.ahead = updates
        return loss

    def _is_smaller(self, inputs: Any) -> bool:
        """Whether a batch has fewer rows than the planned ones, as the last of an epoch may have."""
        values = inputs.values() if isinstance(inputs, Mapping) else ()
        rows = next((len(one) for one in values if isinstance(one, torch.Tensor) and one.dim()), math.inf)
        return bool(self.accelerator.gradient_state.end_of_dataloader and rows < getattr(self, "_train_batch_size", 0))

    def _whole_step(self, kind: type) -> StepFunction:
        """What Trainer and its loop do, from the prepared batch to cleared gradients. `kind`: the class of batches."""
        trainer: Any = self

        def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, batch: Any) -> Any:
            inputs, *given, updates = batch
            if isinstance(inputs, dict):
                inputs = kind(inputs)
            with loop_of(trainer).step_runs():
                loss = super(RoamMixin, trainer).training_step(model, inputs, *given)  # type: ignore[misc]
                norm = trainer._roam_norm(model) if updates else None
            if updates:
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
        """In place of the optimizer's step, which has already run. Raises RoamError if there are gradients again."""
        loop_of(self).ahead = False
        if any(parameter.grad is not None for parameter in model.parameters()):
            raise RoamError(
                "there are gradients that were made after the planned step, which has already stepped the optimizer; "
                "make them in training_step or compute_loss, or train with Trainer alone"
            )

    def _after_step(self) -> None:
        """After a step: log what it has logged, and note what it has read of the loop."""
        trainer: Any = super()
        loop = loop_of(self)
        while self._roam_logs:
            logs, args, kwargs = self._roam_logs.pop(0)
            trainer.log(logs, *args, **kwargs)
        for name in FOLLOWED:
            if name in loop.read and name in loop.attributes:
                vars(self)[name] = loop.attributes.pop(name)
                loop.step = None  # a step captured without it would not notice a change
