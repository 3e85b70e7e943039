"""`loss = step(batch)`: planned where the plan fits, eagerly and with a reason where it does not."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

import torch
from torch.utils import _pytree as pytree

from roam_lab.capture import Captured, TrainingStep, can_prime, capture_step, prime_optimizer, step_device
from roam_lab.capture.inputs import batch_signature
from roam_lab.capture.step import StepFunction
from roam_lab.capture.training_step import OptimizerOrSeveral
from roam_lab.errors import CaptureError, MismatchError
from roam_lab.ir import fingerprint
from roam_lab.plan import Plan, make_plan
from roam_lab.runtime.arena_pool import ArenaPool
from roam_lab.runtime.compiled import Change, Compiled, CompiledSteps
from roam_lab.runtime.everything import tensors_now
from roam_lab.runtime.forward_watch import ForwardWatch
from roam_lab.runtime.heap import collect
from roam_lab.runtime.model_tree import ModelTree
from roam_lab.runtime.program_writer import write_program
from roam_lab.runtime.reasons import Reason, Reasons, another_step
from roam_lab.runtime.self_check import Check, Expected, Parted, SelfCheck, values_of
from roam_lab.runtime.state_made import StateMade
from roam_lab.runtime.step_guards import guards_of
from roam_lab.runtime.this_environment import VERIFIED, verified_digest

OnMismatch = Literal["eager", "error", "replan"]
MOST_REMEMBERED = 256
"""Batches and modes of which a hook remembers that the plan is not for them; beyond that it forgets them all."""

_REPORT = "report it with the model; train eagerly"

Key = tuple[Any, ...]


class PlannedStep:
    """`loss = step(batch)`: one training step in the planned order and layout, bit-identical to eager.

    The model's parameters and buffers and the optimizers' states are updated in place; gradients are not kept. A batch
    of other shapes, another training mode, settings that take another branch, and whatever else capture relied on and
    has changed, follow `on_mismatch`.

    `planned_steps`, `eager_steps`: how many ran which way. `reasons`: sentence -> number of the steps that ran eagerly
    for it; each sentence is a RoamWarning once. `notes`: which checks were left out, and why. A step that is checked
    against the eager one is run twice, so what it prints or writes to a file appears twice; it counts as one.
    """

    def __init__(
        self, plan: Plan, model: torch.nn.Module, optimizer: OptimizerOrSeveral, step: StepFunction,
        on_mismatch: OnMismatch, check: Check = "first",
    ) -> None:  # fmt: skip
        self.plan = plan
        self.model = model
        self.optimizer = optimizer
        self.optimizers = TrainingStep(model, optimizer, step).optimizers
        self.eager_step = step
        self.on_mismatch = on_mismatch
        self.planned_steps = 0
        self.eager_steps = 0
        self.reasons: dict[str, int] = Reasons()
        self.notes: list[str] = []
        self._tree = ModelTree(model)
        self._pool = ArenaPool()
        self._watch = ForwardWatch(self._tree, self._pool)
        self._compiled = CompiledSteps(self._pool)
        self._eager: dict[Key, Reason] = {}
        self._check = SelfCheck(check, self.notes)
        self._state_made = StateMade(self.optimizers)
        self._looked_at: set[tuple[Key, str]] = set()

    def __repr__(self) -> str:
        return f"PlannedStep({type(self.model).__name__}, {self.plan!r})"

    def prepare(self, batch: Any) -> None:
        """Capture and check the plan for batches like this one, without running; the first call does it otherwise.

        Where an optimizer can make its state only by running its first step, that step has to come first, eagerly.
        Raises MismatchError when the plan was made for another model, optimizer or step.
        """
        key = self._key(batch)
        if key not in self._compiled and self._first_step() is None:
            self._compile(key, batch)

    def release(self) -> None:
        """Give the arena's memory back; the next planned step takes it again."""
        self._pool.release()

    def __call__(self, batch: Any) -> Any:
        """Run one step on `batch` and return its loss (a 0-d tensor, detached)."""
        self._watch.stop()
        try:
            return self._step(batch)
        finally:
            self._watch.start()

    def _step(self, batch: Any) -> Any:
        key = self._key(batch)
        compiled = self._compiled.used(key)
        reason = self._eager.get(key)
        if compiled is not None and reason is None:
            change = compiled.change()
            if change is not None:
                compiled, reason = self._after(change, key, compiled, batch)
        if compiled is None and reason is None:
            reason = self._not_planned(batch)
        expected: Expected | None = None
        if reason is None:
            proven = compiled is not None and compiled.proven
            if self._check.due(proven, self.planned_steps) and not self._verified(compiled):
                self._pool.release()  # the eager step of the check must not run beside it
                expected = self._check.eager_first(self._training, batch)
            if compiled is None:
                compiled, reason = self._first_compiled(key, batch, expected.changed if expected else ())
        if reason is not None or compiled is None:
            return self._run_eager(batch, reason or Reason("the step is not planned"))
        return self._run_planned(key, compiled, batch, expected)

    @property
    def _training(self) -> TrainingStep:
        return TrainingStep(self.model, self.optimizer, self.eager_step)

    def _key(self, batch: Any) -> Key:
        self._tree.refresh()
        device = step_device(self.model).type
        autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        return (batch_signature(batch), self._tree.modes(), autocast)

    # What keeps a step from being planned

    def _not_planned(self, batch: Any) -> Reason | None:
        """Why a batch or mode seen for the first time cannot be planned, as far as that is known without capture."""
        planned_for = self.plan.environment.get("batch")
        if self.on_mismatch != "replan" and planned_for not in (None, batch_signature(batch)):
            return Reason(
                f"the batch is not {planned_for}, which the plan was made for",
                f"this batch is {batch_signature(batch)}; the plan was made for {planned_for}",
                "pad it, or use on_mismatch='eager' or 'replan'",
            )
        return self._first_step()

    def _first_step(self) -> Reason | None:
        """The reason to run a first step eagerly: an optimizer whose state nothing else can make."""
        for optimizer in self.optimizers:
            if not can_prime(optimizer) and not self._state_made.by(optimizer):
                return Reason(f"{type(optimizer).__name__} makes its state in its first step, which runs eagerly")
        return None

    def _after(self, change: Change, key: Key, compiled: Compiled, batch: Any) -> tuple[Compiled | None, Reason | None]:
        """What to do with a compiled step after a change: keep it, run eagerly for a reason, or (neither) make another.

        Of anything that guards have noticed, capture tells once whether it matters at all. A tensor that was replaced,
        and with "replan" whatever else changes, is captured again.
        """
        if change.kind == "guard" and (key, change.path) not in self._looked_at:
            if len(self._looked_at) >= MOST_REMEMBERED:
                self._looked_at.clear()
            self._looked_at.add((key, change.path))
            if self._same_without(compiled, batch):
                compiled.guards.forget(change.path)
                again = compiled.change()  # one thing may have changed, and another with it
                return (compiled, None) if again is None else self._after(again, key, compiled, batch)
        if self.on_mismatch == "replan" or change.kind == "resident":
            self._compiled.drop(key)
            return None, None
        if change.kind == "guard":
            return compiled, Reason(f"{change.path} has changed since the step was captured", change.sentence)
        return compiled, Reason(change.sentence)

    def _same_without(self, compiled: Compiled, batch: Any) -> bool:
        """Whether a fresh capture is the very same step: then what has changed does not matter to it."""
        self._pool.release()
        try:
            captured = self._captured(batch)
            same = fingerprint(captured.graph) == compiled.graph_sha256
            return same and write_program(captured, compiled.order).same(compiled.program)
        except CaptureError:
            return False
        finally:
            captured = None  # type: ignore[assignment]
            collect()

    # From a batch to a compiled step

    def _first_compiled(self, key: Key, batch: Any, changed: Collection[str]) -> tuple[Compiled | None, Reason | None]:
        """The compiled step for a batch and a mode seen for the first time, or the reason why there is none."""
        try:
            return self._compile(key, batch, changed), None
        except (MismatchError, CaptureError) as error:
            if self.on_mismatch != "eager" or not (self._compiled or self._eager or self.planned_steps):
                raise  # the plan is for no step of this model
            sentence = str(error).partition(";")[0]
        reason = Reason(f"in another mode, or after a change, the step is another: {sentence}")
        if len(self._eager) >= MOST_REMEMBERED:
            self._eager.clear()
        self._eager[key] = reason
        return None, reason

    def _compile(self, key: Key, batch: Any, changed: Collection[str] = ()) -> Compiled:
        """Capture, plan if need be, and keep the step; `changed`: Python values that the step changes itself."""
        self._pool.release()
        try:
            captured = self._captured(batch)
            plan = self.plan
            if fingerprint(captured.graph) != plan.graph_sha256:
                if self.on_mismatch != "replan":
                    raise MismatchError(another_step(captured, plan))
                plan = make_plan(captured.graph, seed=plan.seed, environment=captured.environment)
            self._prime(captured)
            guards = guards_of(self._training, changed)
            self._compiled.add(key, Compiled(captured, plan, self._training, self._tree, self._pool, guards))
        finally:
            captured = plan = None  # type: ignore[assignment]
            collect()
        return self._compiled[key]

    def _captured(self, batch: Any) -> Captured:
        return capture_step(self.model, self.optimizer, batch, self.eager_step)

    def _prime(self, captured: Captured) -> None:
        named = dict(self.model.named_parameters())
        for optimizer in self.optimizers:
            prime_optimizer(optimizer, [named[name] for name in captured.trace.updated])

    # Running

    def _verified(self, compiled: Compiled | None) -> bool:
        """Whether the plan says that it was verified in this very environment; that is noted."""
        told = self.plan.environment.get(VERIFIED)
        graph = self.plan.graph_sha256 if compiled is None else compiled.graph_sha256
        if told is None or told != verified_digest(graph, step_device(self.model)):
            return False
        self._check.left_out("the plan was verified in this environment")
        return True

    def _run_planned(self, key: Key, compiled: Compiled, batch: Any, expected: Expected | None) -> Any:
        if expected is None:
            loss = self._ran(compiled, batch)
        else:
            loss, parted = self._check.compare(expected, lambda: self._ran(compiled, batch))
            if parted is not None:
                return self._stay_eager(key, parted, batch)
            compiled.proven = True
        self.planned_steps += 1
        return loss

    def _ran(self, compiled: Compiled, batch: Any) -> Any:
        loss = compiled.run(batch)
        for optimizer in self.optimizers:
            if hasattr(optimizer.step, "_wrapped_by_lr_sched"):  # what schedulers look for
                optimizer._opt_called = True  # type: ignore[attr-defined]
        return loss

    def _stay_eager(self, key: Key, parted: Parted, batch: Any) -> Any:
        """Run eagerly from now on where the planned step was not the eager one; its memory is given up."""
        self._compiled.drop(key)
        self._pool.release()
        if self.on_mismatch == "error":
            raise MismatchError(Reason(parted.told({}, self.planned_steps + 1), advice=_REPORT).error)
        result = self._training.run(batch)
        left = {**dict(values_of(result)), **tensors_now(self._training)}
        reason = Reason(parted.told(left, self.planned_steps + 1), advice=_REPORT)
        self._eager[key] = reason
        self._count_eager(reason)
        return _detached(result)

    def _run_eager(self, batch: Any, reason: Reason) -> Any:
        if self.on_mismatch == "error" and self._first_step() is None:
            raise MismatchError(reason.error)
        self._pool.release()
        result = self._training.run(batch)
        self._state_made.note()
        self._count_eager(reason)
        return _detached(result)

    def _count_eager(self, reason: Reason) -> None:
        self.eager_steps += 1
        self.reasons.count(reason)  # type: ignore[attr-defined]


def _detached(result: Any) -> Any:
    return pytree.tree_map(lambda leaf: leaf.detach() if isinstance(leaf, torch.Tensor) else leaf, result)
