"""The hook: `loss = step(batch)` runs planned where the plan fits, and eagerly, with a reason, where it does not."""

from __future__ import annotations

import weakref
from collections.abc import Generator
from contextlib import nullcontext
from typing import Any, cast

import torch

from roam_lab.capture import TrainingStep, step_device
from roam_lab.capture.inputs import batch_leaves
from roam_lab.capture.sources.python_state import PythonState
from roam_lab.capture.sources.reachable import reach
from roam_lab.capture.sources.world import muted
from roam_lab.capture.step import StepFunction
from roam_lab.capture.stored.captures import Kept
from roam_lab.capture.training_step import OptimizerOrSeveral, roots_of
from roam_lab.errors import FirstStepError, MismatchError, RoamError
from roam_lab.measure.eager import record
from roam_lab.plan import Plan
from roam_lab.runtime.after_change import AfterChange
from roam_lab.runtime.arena_pool import ArenaPool
from roam_lab.runtime.choice import Choice, Key, OnMismatch, key_of
from roam_lab.runtime.compiled import Compiled, FailedBefore, OtherWay
from roam_lab.runtime.compiled_steps import CompiledSteps
from roam_lab.runtime.everything import tensors_now
from roam_lab.runtime.executors import Execution, ExecutorName
from roam_lab.runtime.forward_watch import ForwardWatch, unwatched
from roam_lab.runtime.identity import detached, values_of
from roam_lab.runtime.known_before import Known, other_gradients, watched
from roam_lab.runtime.model_tree import ModelTree
from roam_lab.runtime.plans import Plans
from roam_lab.runtime.reasons import Reason, Reasons, leading, refusal
from roam_lab.runtime.self_check import Check, Expected, Parted, SelfCheck
from roam_lab.runtime.state_made import StateMade
from roam_lab.runtime.step_compiler import StepCompiler
from roam_lab.runtime.this_environment import is_verified
from roam_lab.runtime.ways import Ways
from roam_lab.turns import turn


class PlannedStep:
    """`result = step(batch)`: one training step in the planned order and layout, bit-identical to eager.

    Parameters, buffers and the optimizers' states are updated in place. A gradient that stays set after the eager step
    is there after this one where a later call adds to it, or it was asked for (`keep_grads`). A batch of other shapes,
    another mode, settings that take another branch, and what else capture relied on and has changed, follow
    `on_mismatch`.

    `planned_steps`, `eager_steps`: how many ran which way. `reasons`: sentence -> number of the steps that ran eagerly
    for it; each sentence is a RoamWarning once. `notes`: which checks were left out, and why; which plans and captures
    were not kept, or not used; why a step is no CUDA graph though one was asked for. A step that is checked against the
    eager one is run twice; it is heard once, and counts as one.
    """

    _kind_of_check, _kind_of_compiler = SelfCheck, StepCompiler
    _adds = True

    def __init__(
        self, plans: Plans, model: torch.nn.Module, optimizer: OptimizerOrSeveral, step: StepFunction,
        on_mismatch: OnMismatch, check: Check = "first", executor: ExecutorName = "python",
        keep_grads: bool | tuple[str, ...] = False,
    ) -> None:  # fmt: skip
        self._plans = plans
        self._model, self._optimizer = model, optimizer
        self.optimizers = TrainingStep(model, optimizer, step).optimizers
        self.eager_step, self._keep_grads, self.on_mismatch = step, keep_grads, on_mismatch
        self.planned_steps = self.eager_steps = 0
        self.reasons: dict[str, int] = Reasons()
        self.notes: list[str] = plans.notes
        self._execution = Execution(executor, self.notes)
        self._tree, self._pool = ModelTree(model, optimizer), ArenaPool()
        self._watch = ForwardWatch(self._tree, self._pool)
        self._compiled = CompiledSteps(self._pool)
        self._eager, self._led = dict[Key, Reason](), set[Key]()
        self._check = self._kind_of_check(check, self.notes)
        self._state_made, self._ways = StateMade(self.optimizers), Ways()
        self._known = Known(plans, TrainingStep(model, optimizer, step), self._state_made, on_mismatch == "replan")
        alone = weakref.ref(self)  # no reference cycle: a deleted step frees its memory at once
        self._compiler = self._kind_of_compiler(
            plans, lambda: cast("PlannedStep", alone())._training, on_mismatch == "replan", self._tree,
            self._compiled, self._check, self._ways, self._execution,
        )  # fmt: skip
        self._after_change = AfterChange(self._compiler, self._compiled, on_mismatch == "replan")

    def __repr__(self) -> str:
        return f"PlannedStep({type(self.model).__name__}, {self.plan!r})"

    @property
    def plan(self) -> Plan | None:
        """The plan that was given, or that the first step was planned by; None before that."""
        return self._plans.first

    @property
    def model(self) -> torch.nn.Module:
        """The model that is trained."""
        return self._model

    @property
    def optimizer(self) -> OptimizerOrSeveral:
        """The optimizer or the tuple of optimizers that was given."""
        return self._optimizer

    def __reduce__(self) -> tuple[Any, ...]:
        """A hook is copied and pickled by its arguments, without its captures and counts."""
        made_of = (self._plans, self.model, self.optimizer, self.eager_step, self.on_mismatch, self._check.check)
        return PlannedStep, (*made_of, self._execution.asked, self._keep_grads)

    def prepare(self, batch: Any) -> None:
        """Capture and check the plan for batches like this one; the first call does it otherwise.

        One eager step leads the capture, or a rehearsal where an earlier start has captured it; everything is put back
        then. Where only a first step can make an optimizer's state, or what else it keeps, that step has to come first,
        eagerly. Raises MismatchError when the plan was made for another model, optimizer or step.
        """
        key = self._key(batch)
        if not self._compiled.ways(key) and self._known.first_step() is None:
            with turn("a training step"), unwatched(self._watch):
                self._pool.release()
                self._compiler.prepare(key, batch)

    def release(self) -> None:
        """Free the arena's memory; the next planned step allocates it again."""
        self._pool.release()

    def __call__(self, batch: Any) -> Any:
        """Run one step on `batch`. Returns what the user's step returns (the loss, or a tuple or dict); tensors are
        detached, and no later step writes to them."""
        with turn("a training step"), unwatched(self._watch):  # another hook's capture changes the process meanwhile
            return self._step(batch)

    def _step(self, batch: Any) -> Any:
        choice = next(choices := self._choices(self._key(batch), batch))
        while choice.compiled is not None:
            try:
                return self._run_planned(choice.way, choice.compiled, batch, self._checked(batch, choice.compiled))
            except OtherWay as otherwise:
                choice = choices.send(str(otherwise))
            except FailedBefore as failed:
                return self._run_eager(batch, Reason(str(failed)))
        if choice.reason is not None:
            return self._run_eager(batch, choice.reason)
        return self._run_new_way(choice.key, batch, choice.other)

    def _choices(self, key: Key, batch: Any) -> Generator[Choice, str]:
        """Yields each captured way that may be right, and last what to do without one. After each it is sent the reason
        why that way was not right."""
        ways = self._compiled.ways(key)
        reason = watched() or self._eager.get(key)
        if reason is None and not ways:
            reason = self._known.not_planned(batch)
        other: str | None = None
        leaves = batch_leaves(batch)
        for way in ways if reason is None else ():
            compiled = self._compiled[way]
            change = compiled.reliance.change(leaves)
            if change is not None:
                kept, reason = self._after_change.keep(compiled, way, change, batch)
                if reason is not None:
                    break
                if kept is None:
                    other = change.sentence if way in self._compiled.ways(key) else other
                    continue
            other = other_gradients(self._training, self._tree, compiled, leaves)
            if other is not None and not self._adds:
                reason = Reason("gradients are left from before the step, which adds to them")
                break
            other = other or compiled.goes_otherwise(batch)
            if other is None:
                self._compiled.used(way)
                other = yield Choice(key, way, compiled)
        yield Choice(key, reason=reason or self._ways.given_up(key, others=bool(ways)), other=other)

    def _checked(self, batch: Any, compiled: Compiled | None, kept: Kept | None = None) -> Expected | None:
        """Run the eager step, if a capture or a comparison needs it. Returns what it leaves, or None."""
        leads = compiled is None and (not self._plans.given or self.on_mismatch == "replan")
        due = self._check.due(compiled is not None and compiled.proven, self.planned_steps, leads)
        if not due or self._verified(compiled):
            return None
        if compiled is None or not compiled.executor.holds_addresses:
            self._pool.release()  # the eager step of the check must not run beside it
        return self._check.eager_first(self._training, batch, logged=compiled is None, for_good=True, kept=kept)

    def _run_new_way(self, key: Key, batch: Any, other: str | None) -> Any:
        """Run a batch, mode or way that was not captured yet. `other`: why no captured way is right."""
        if other is not None and not self._ways.may_grow(key):
            return self._run_eager(batch, Reason(f"{other}, and it takes too many ways to capture each"))
        way, expected = self._compiler.compile_led(key, batch, lambda *known: self._checked(batch, *known))
        with nullcontext() if expected is None else muted():  # it has run once, and was heard
            return self._run_captured(key, batch, way, expected)

    def _run_captured(self, key: Key, batch: Any, way: Key | RoamError, expected: Expected | None) -> Any:
        if isinstance(way, RoamError):
            way = self._state_made.or_first_step(way, self.on_mismatch != "error" and not self._plans.given)
            led = isinstance(way, FirstStepError) or expected is None
            return self._run_led(key, batch, way) if led else self._run_eager(batch, self._refused(key, way))
        sentence = self._compiled[way].goes_otherwise(batch)
        if sentence is not None:  # this very batch is what the way was captured with
            self._compiled.drop(way)
            return self._run_eager(batch, Reason(f"a way was captured that its own batch does not take ({sentence})"))
        rehearsed = expected is None and self._compiled[way].proven  # with the numbers of an earlier start's batch
        try:
            return self._run_planned(way, self._compiled[way], batch, expected)
        except (OtherWay, FailedBefore) as not_done:
            if rehearsed and isinstance(not_done, OtherWay):
                return self._run_new_way(key, batch, str(not_done))
            return self._run_eager(batch, Reason(str(not_done)))

    def _run_led(self, key: Key, batch: Any, error: RoamError) -> Any:
        """Run this step eagerly, and capture it for the next time as it ran. `error`: why it could not be captured
        before it ran."""
        if (key in self._led and not self._compiled.ways(key)) or (
            self.on_mismatch == "error" and not isinstance(error, FirstStepError)
        ):
            return self._run_eager(batch, self._refused(key, error))
        self._led.add(key)
        self._pool.release()
        before = PythonState(reach(roots_of(self._training)))
        run = record(self._training, batch)
        self._state_made.note()
        if not isinstance(error, FirstStepError):
            refused = self._compiler.compile_as_it_ran(key, batch, before, run.log)
            if refused is None:
                self._led.discard(key)  # it may be led again, after a change
            else:  # no error: this step is done
                self._ways.refuse(key, refusal(refused, bool(self.planned_steps)))
        self._count_eager(leading(error))
        return detached(run.result)

    def _refused(self, key: Key, error: RoamError) -> Reason:
        """The reason to run eagerly where a step cannot be captured, or is not the planned one. Raises `error` where
        the given plan is for no step of this model, or eager steps are not wanted."""
        nothing_ran = not (self._compiled or self.planned_steps or self.eager_steps)
        if self.on_mismatch == "error" or (nothing_ran and self._plans.given):
            raise error
        self._ways.refuse(key, reason := refusal(error, bool(self.planned_steps)))
        return reason

    @property
    def _training(self) -> TrainingStep:
        return TrainingStep(self.model, self.optimizer, self.eager_step, self._adds, self._keep_grads)

    def _key(self, batch: Any) -> Key:
        self._tree.refresh()
        return key_of(batch, self._tree.modes(), step_device(self.model).type)

    def _verified(self, compiled: Compiled | None) -> bool:
        """Whether the plan was verified in this very environment, as its file says; if so, `notes` says it."""
        graph = None if compiled is None else compiled.graph_sha256
        verified = self.plan is not None and is_verified(self.plan, graph, step_device(self.model))
        if verified:
            self._check.left_out("the plan was verified in this environment")
        return verified

    def _run_planned(self, key: Key, compiled: Compiled, batch: Any, expected: Expected | None) -> Any:
        if expected is None or self._check.check == "never":
            loss = self._ran(compiled, batch)
        else:
            loss, parted = self._check.compare(expected, lambda: self._ran(compiled, batch), compiled.stays)
            if parted is not None:
                return self._stay_eager(key, parted, batch)
            compiled.note_equal()
            self._compiler.stored.passed(key, compiled)
        self.planned_steps += 1
        self._ways.ran(key[:-1])
        return loss

    def _ran(self, compiled: Compiled, batch: Any) -> Any:
        return compiled.run(batch)

    def _stay_eager(self, key: Key, parted: Parted, batch: Any) -> Any:
        """Run eagerly from now on, as the planned step was not the eager one; its memory is freed."""
        self._compiled.drop(key)
        self._pool.release()
        if self._compiler.stored.failed(key):  # a stored capture: one that is made now may be right
            return self._run_new_way(key[:-1], batch, None)
        if self.on_mismatch == "error":
            raise MismatchError(parted.reason({}, self.planned_steps + 1).error)
        with muted():
            result = self._training.run(batch)
        left = {**dict(values_of(result)), **tensors_now(self._training)}
        reason = parted.reason(left, self.planned_steps + 1)
        self._eager[key[:-1]] = reason
        self._count_eager(reason)
        return detached(result)

    def _run_eager(self, batch: Any, reason: Reason) -> Any:
        if self.on_mismatch == "error" and not reason.first and self._known.first_step() is None:
            raise MismatchError(reason.error)
        self._pool.release()
        result = self._training.run(batch)
        self._state_made.note()
        self._count_eager(reason)
        return detached(result)

    def _count_eager(self, reason: Reason) -> None:
        self.eager_steps += 1
        self.reasons.count(reason)  # type: ignore[attr-defined]
