"""Lightning: with `Trainer(callbacks=[RoamCallback()])` training runs by planned steps, and nothing else changes.

    from roam_lab.integrations.lightning import RoamCallback

    trainer = L.Trainer(max_epochs=3, callbacks=[RoamCallback()])
    trainer.fit(model, loader)

What is planned is what Lightning does for one batch under automatic optimization: `training_step`, `zero_grad`, the
backward pass, clipping, the optimizer's step, and the hooks between them. Lightning's own code is what is captured.
Where that cannot be planned, Lightning runs as it would without this callback, and one RoamWarning says why.
"""

from __future__ import annotations

import copy
import importlib
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch

from roam_lab.capture import can_prime
from roam_lab.capture.refusal import refuse_closure
from roam_lab.capture.sources.world import on_trial
from roam_lab.distributed import Ranks, is_replicated
from roam_lab.errors import CaptureError, MismatchError, RoamError
from roam_lab.integrations.lightning_metrics import states_in_place
from roam_lab.integrations.lightning_refusals import hooked_in_step, reads_gradients, why_not_now, why_not_planned
from roam_lab.integrations.lightning_trainer import Logged, TrainerInStep, TrainerUsedError, is_traced
from roam_lab.runtime.choice import OnMismatch
from roam_lab.runtime.hook import hook
from roam_lab.runtime.planned_step import PlannedStep
from roam_lab.runtime.reasons import Reason, Reasons
from roam_lab.runtime.self_check import Check

if TYPE_CHECKING:
    from lightning.pytorch import Callback
else:  # either package works: its Trainer takes callbacks of the other, too
    Callback = importlib.import_module("lightning.pytorch" if find_spec("lightning") else "pytorch_lightning").Callback

_TRIES, _PLANNED_A_TRY = 3, 10
"""So many steps may fail to be planned before no more are tried; so many planned steps allow one more failure."""


class RoamCallback(Callback):
    """Makes a Trainer run its training steps by a plan, with the same bits as without it.

    The first batch is captured and planned. The settings are those of `roam.hook` without a plan. Steps that cannot
    be planned are run by Lightning itself; with `on_mismatch="error"` it is an error.

    `planned_steps`, `eager_steps`, `reasons`: as those of a PlannedStep, for the last call of `fit`.
    """

    def __init__(
        self,
        *,
        budget: int | str | None = None,
        extra_time: float | None = None,
        on_mismatch: OnMismatch | None = None,
        check: Check = "first",
        cache: bool | str | os.PathLike[str] = True,
    ) -> None:
        self._settings: dict[str, Any] = {
            "budget": budget, "extra_time": extra_time, "on_mismatch": on_mismatch, "check": check, "cache": cache,
        }  # fmt: skip
        self._fit: _Fit | None = None

    @property
    def planned_steps(self) -> int:
        """How many steps ran as planned."""
        step = self._fit and self._fit.step
        return step.planned_steps if step else 0

    @property
    def eager_steps(self) -> int:
        """How many steps ran eagerly."""
        return sum(self.reasons.values())

    @property
    def reasons(self) -> dict[str, int]:
        """For each reason, a sentence, how many steps ran eagerly because of it."""
        if self._fit is None:
            return {}
        planned = self._fit.step.reasons if self._fit.step else {}
        return {**planned, **self._fit.by_lightning}

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Have the Trainer's loop pass its batches to a planned step from now on."""
        self._fit = _Fit(trainer, pl_module, self._settings)
        self._fit.begin()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Restore Lightning's own loop, and free the memory of planned steps."""
        if self._fit is not None:
            self._fit.end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """As at the end of training, also when it is interrupted."""
        self.on_train_end(trainer, pl_module)


class _Fit:
    """One call of `Trainer.fit`. `step`: the planned step, from the first batch on; None where none could be made.
    `by_lightning`: for each reason, a sentence, how many steps Lightning ran itself because of it."""

    def __init__(self, trainer: Any, module: Any, settings: dict[str, Any]) -> None:
        self._trainer, self._module, self._settings = trainer, module, settings
        loops = trainer.fit_loop.epoch_loop
        self._loop = loops.automatic_optimization if module.automatic_optimization else loops.manual_optimization
        self._lightnings_run = self._loop.run
        self._model = trainer.strategy.model  # the module, or what wraps it for several ranks
        self._ranks = Ranks(self._model.process_group) if is_replicated(self._model) else None
        self._seen = TrainerInStep(trainer, several=self._ranks is not None)
        self._hooked = hooked_in_step(trainer)
        self._why_not = why_not_planned(trainer, module)
        self._tries = 0
        self.step: PlannedStep | None = None
        self.by_lightning = Reasons()

    def begin(self) -> None:
        together = self._ranks is not None
        self._loop.run = self._run if self._why_not is None or together else self._run_by_lightning

    def end(self) -> None:
        vars(self._loop).pop("run", None)
        if self.step is not None:
            self.step.release()

    def _run(self, optimizer: Any, batch_idx: int, kwargs: OrderedDict[str, Any]) -> dict[str, Any]:
        """One batch, in place of the loop's own `run`."""
        reason = self._why_not or why_not_now(self._loop, kwargs)
        if self._ranks is not None and self._ranks.largest(int(reason is not None)) == [1]:
            reason = reason or "another rank runs this step without a plan"
        if reason is not None:
            return self._run_by_lightning(optimizer, batch_idx, kwargs, reason=reason)
        batch = {"arguments": dict(kwargs), "batch_idx": batch_idx, **self._seen.values()}
        try:
            wrapper = None if self._ranks is None else self._model
            states = states_in_place(self._module, wrapper)
            with self._seen.in_place_of(self._trainer, self._module, self._loop), states:
                result = self._step_on(optimizer, batch)(batch)
        except (CaptureError, MismatchError) as error:  # nothing has changed yet
            if self._settings["on_mismatch"] == "error":
                raise
            reason = str(error).partition(";")[0]
            self._note(reason, again=isinstance(error, TrainerUsedError))
            return self._run_by_lightning(optimizer, batch_idx, kwargs, reason=reason)
        if self._seen.used is not None:
            self._note(self._seen.used, again=True)
        return self._done(result)

    def _note(self, reason: str, again: bool) -> None:
        """Note why a step was not planned. `again`: later steps are tried, as long as most of them are planned."""
        self._seen.used = None
        self._tries += 1
        planned = self.step.planned_steps if self.step else 0
        if not again or self._tries > _TRIES + planned // _PLANNED_A_TRY:
            self._why_not = reason

    def _run_by_lightning(self, *args: Any, reason: str | None = None) -> dict[str, Any]:
        """One batch, run by Lightning itself. `reason`: why this batch is not planned; None: no batch is."""
        if self.step is not None:
            self.step.release()
        self.by_lightning.count(Reason(reason or str(self._why_not)))
        return self._lightnings_run(*args)  # type: ignore[no-any-return]

    def _step_on(self, optimizer: torch.optim.Optimizer, batch: Any) -> PlannedStep:
        """The planned step, made with the first batch. Raises CaptureError where the step cannot be captured."""
        if self.step is None:
            refuse_closure(optimizer)
            function = partial(self._one_batch, callbacks=self._hooked)
            kept = reads_gradients(self._trainer, self._module)
            step = hook(self._model, optimizer, step=function, keep_grads=kept, **self._settings)
            step.prepare(batch)
            self.step = step
        return self.step

    def _one_batch(self, _: Any, optimizer: Any, batch: Any, callbacks: Any = ()) -> dict[str, Any]:
        """What is captured: Lightning's own run of one batch. What it logs and counts is returned with its output."""
        module, loop, progress = self._module, self._loop, self._loop.optim_progress
        logged = Logged(module)
        loop.optim_progress = counted = copy.deepcopy(progress)
        try:
            traced = is_traced(module)
            first = self._closure_first() if traced or on_trial() or can_prime(optimizer) else nullcontext()
            reading = self._seen.reading(batch, traced)
            # Other ranks wait for this one: it must run the same collectives.
            failures = _failures_as_refusals() if self._ranks is None else nullcontext()
            with failures, reading, logged.instead_of_log(callbacks), first:
                output = self._lightnings_run(optimizer, batch["batch_idx"], OrderedDict(batch["arguments"]))
        finally:
            loop.optim_progress = progress
        before, after = progress.optimizer, counted.optimizer
        return {
            "output": output,
            "logged": logged.calls,
            "steps": after.step.total.ready - before.step.total.ready,
            "zeroed": after.zero_grad.total.ready - before.zero_grad.total.ready,
        }

    @contextmanager
    def _closure_first(self) -> Iterator[None]:
        """Lightning gives its closure to the optimizer, which calls it first of all. Here it is called before
        the optimizer's step, so that there are gradients then."""
        strategy = self._trainer.strategy

        def optimizer_step(optimizer: Any, closure: Any, model: Any = None, **kwargs: Any) -> Any:
            result = strategy.precision_plugin._wrap_closure(model or strategy.lightning_module, optimizer, closure)
            optimizer.step(**kwargs)
            return result

        strategy.optimizer_step = optimizer_step
        try:
            yield
        finally:
            del strategy.optimizer_step

    def _done(self, result: dict[str, Any]) -> dict[str, Any]:
        """Log and count what the step has logged and counted."""
        Logged(self._module, result["logged"]).log()
        progress = self._loop.optim_progress.optimizer
        for _ in range(result["zeroed"]):
            progress.zero_grad.increment_ready()
            progress.zero_grad.increment_started()
            progress.zero_grad.increment_completed()
        for _ in range(result["steps"]):
            progress.step.increment_ready()
            progress.step.increment_completed()
        return result["output"]  # type: ignore[no-any-return]


@contextmanager
def _failures_as_refusals() -> Iterator[None]:
    """An error of the trial run, other than out of memory, becomes a CaptureError: Lightning then runs the step itself,
    and raises the error again if it is the script's."""
    try:
        yield
    except RoamError:
        raise
    except Exception as error:
        if not on_trial() or isinstance(error, MemoryError) or "memory" in str(error):
            raise
        first = (str(error) or type(error).__name__).splitlines()[0][:160]
        raise CaptureError(f"the step does not run on trial ({type(error).__name__}: {first})") from error
