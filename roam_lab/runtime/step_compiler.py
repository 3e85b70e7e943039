"""From a batch to a compiled step: captured, held against the plan or planned anew, and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from roam_lab.capture import Captured, TrainingStep, capture_step, prime_optimizer, step_device
from roam_lab.capture.inputs import batch_leaves, signatures_alike
from roam_lab.capture.sources.places import Changing, ValuePlace
from roam_lab.capture.sources.python_state import PythonState
from roam_lab.capture.sources.python_values import SettledError, is_plain_number
from roam_lab.capture.sources.reachable import reach
from roam_lab.capture.sources.schedulers import schedulers_noted
from roam_lab.capture.sources.world import muted
from roam_lab.capture.stored import NotStoredError
from roam_lab.capture.stored.captures import Kept
from roam_lab.capture.trace import refuse_at_sight
from roam_lab.capture.training_step import roots_of
from roam_lab.capture.writers import is_untrue
from roam_lab.errors import CaptureError, FirstStepError, MismatchError, RoamError
from roam_lab.interrupt import PATIENCE_SECONDS, held
from roam_lab.ir import fingerprint
from roam_lab.ir.op_log import OpLog
from roam_lab.plan import Plan
from roam_lab.runtime.compiled import Compiled
from roam_lab.runtime.compiled_steps import CompiledSteps
from roam_lab.runtime.executors import Execution
from roam_lab.runtime.heap import collect, trim, uncollected
from roam_lab.runtime.model_tree import ModelTree
from roam_lab.runtime.plans import Plans
from roam_lab.runtime.reasons import another_step
from roam_lab.runtime.self_check import Expected, Observed, SelfCheck
from roam_lab.runtime.step_guards import guards_of
from roam_lab.runtime.stored_captures import StoredCaptures
from roam_lab.runtime.ways import Ways

Key = tuple[Any, ...]


class StepCompiler:
    """Makes the compiled steps of one hook and keeps them in `compiled`. No arena is held meanwhile.

    `plans`: where its plans come from. `training`: gives the step that is hooked, as it is now. `replan`: whether one
    that the plan was not made for is planned, too. `execution`: what runs them. `stored`: the captures that are kept.
    """

    def __init__(
        self, plans: Plans, training: Callable[[], TrainingStep], replan: bool, tree: ModelTree,
        compiled: CompiledSteps, check: SelfCheck, ways: Ways, execution: Execution,
    ) -> None:  # fmt: skip
        self._plans, self.training, self._replan, self._tree = plans, training, replan, tree
        self._compiled, self._check, self._ways, self._execution = compiled, check, ways, execution
        self.stored = self._captures_of(plans)
        self._planned_for: Key | None = None  # the batch and mode that the plan was seen to be for
        self._numbers: list[ValuePlace] = []
        self._carried: list[ValuePlace] = []

    def _captures_of(self, plans: Plans) -> StoredCaptures:
        return StoredCaptures(plans.captures_folder, plans.notes)

    def follow(self, path: str) -> bool:
        """From now on the Python number at this path is an input of what is captured; False where there is none."""
        place = number_at(self.training(), path)
        if place is None or any(one.path == path and one.container is place.container for one in self._numbers):
            return False
        self._numbers = [*(one for one in self._numbers if one.path != path), place]
        return True

    def prepare(self, key: Key, batch: Any) -> None:
        """`compile_led` by a step that nobody sees. Does nothing where a first step has to come before."""
        refuse_at_sight(self.training())

        def checked(compiled: Compiled | None, kept: Kept | None) -> Expected | None:
            if compiled is not None:
                return None  # it is checked when it runs
            with muted():
                return self._check.eager_first(self.training(), batch, kept=kept)

        way, _ = self.compile_led(key, batch, checked)
        if isinstance(way, RoamError) and not isinstance(way, FirstStepError):
            raise way

    def compile_led(
        self, key: Key, batch: Any, checked: Callable[[Compiled | None, Kept | None], Expected | None]
    ) -> tuple[Key | RoamError, Expected | None]:
        """`compile`, led by the eager step that `checked` runs first: the key, or the error; and what was expected.
        `checked` is given the compiled step, where there is one before an eager step, or else what was kept of it.

        A capture of an earlier start is used, without an eager step where a rehearsal shows that it is that of this
        step. Where it is not, the step runs once more, as if there were none.
        """
        left_out = self._numbers or self._check.check == "never"
        kept = None if left_out else self.stored.find(self.training(), batch, self._ways.captured(key))
        way: Key | None = None
        not_rehearsed: Exception | None = None
        if kept is not None and kept.entry is not None:
            try:
                way = self._rehearsed(key, batch, kept)
            except (NotStoredError, MismatchError, CaptureError) as error:
                not_rehearsed = error  # said where the capture proves to be right all the same
        if way is not None:
            expected = checked(self._compiled[way], None)
            if expected is None and self._compiled[way].proven and self._check.check == "first":
                self._check.left_out("capture and plan have passed in an earlier start, and the step runs the same ops")
            return way, expected
        expected = checked(None, kept)
        try:
            try:
                way = self.compile(key, batch, expected, kept=kept)
                if not_rehearsed is not None and expected is not None:
                    self.stored.not_rehearsed(not_rehearsed)
                return way, expected
            except NotStoredError as not_used:
                kept = self.stored.not_used(kept, not_used)
                expected = None
                with muted():
                    expected = checked(None, kept)
                return self.compile(key, batch, expected, kept=kept), expected
        except (MismatchError, CaptureError) as error:
            return error, expected

    def _rehearsed(self, key: Key, batch: Any, kept: Kept) -> Key:
        """The key of a step that was compiled from what was kept of it, after a rehearsal. Raises NotStoredError,
        MismatchError or CaptureError where that is not possible: the eager step has to be run then."""
        with uncollected():
            with held(PATIENCE_SECONDS) as check:
                observed = self.stored.rehearsed(kept, self.training(), batch, check)
            way = self.compile(key, batch, None, kept=kept, observed=observed)
        self.stored.take_proof(way, self._compiled[way])
        return way

    def compile(
        self, key: Key, batch: Any, expected: Expected | None, log: OpLog | None = None, kept: Kept | None = None,
        observed: Observed | None = None,
    ) -> Key:  # fmt: skip
        """Capture, plan if need be, and keep the step under the key that is returned.

        `expected`: of the eager step that leads the capture; or its `log` alone; or what was `observed` of it. `kept`:
        where the capture is kept: one that is there is used. Raises NotStoredError where that is not the step's, and
        otherwise CaptureError, and MismatchError where the plan was made for another step.
        """
        training, pool, stored = self.training(), self._compiled.pool, self.stored
        pool.release()
        loaded: Captured | None = None
        observed = observed if expected is None else expected.observed
        if kept is not None and kept.entry is not None and observed is not None:
            loaded = stored.captured(kept, training, batch, observed)
        way: Key = (*key, self._ways.next(key))
        changing = Changing(_there(self._numbers), carried=_there(self._carried))
        try:
            captured = loaded or _captured(training, batch, log if observed is None else observed.log, changing)
            self._look_at(captured)
            self._carried = list(captured.trace.carried)  # what one way binds anew, the others may read
            unseen = sorted(expected.arrays - captured.trace.changed) if expected is not None else []
            if unseen:
                raise CaptureError(
                    f"the step changes the array {unseen[0]}, which shares its memory with a tensor, and a planned "
                    "step would not see what is in it; read the tensor instead, or copy the array"
                )
            plan = self._plans.first
            if plan is None:
                plan, self._planned_for = self._planned(captured), key
            elif self._plans.is_for(captured):
                self._planned_for = key
            else:
                # where the plan was made, it may not have been known that an op's writer is untrue
                untrue = any(map(is_untrue, captured.trace.module.graph.nodes))
                may_be = bool(captured.conditions) or untrue or bool(self._numbers)
                another_way = self._knows(key) or (may_be and self._planned_for in (None, key))
                if not self._replan and not another_way:
                    raise MismatchError(another_step(captured, plan))
                plan = self._planned(captured)
            if loaded is not None and kept is not None:
                stored.loaded(way, kept)
            elif kept is not None and expected is not None:
                stored.note(way, kept, training, captured, expected)
            _prime(training, captured)
            guards = guards_of(training, captured.trace)
            offloads = any(rewrite.kind == "offload" for rewrite in plan.rewrites)
            executor = self._execution.executor(captured, step_device(training.model), offloads)
            self._compiled.add(way, Compiled(captured, plan, training, self._tree, pool, guards, executor))
            if loaded is not None and (sentence := _not_now(self._compiled[way], batch)) is not None:
                self._compiled.drop(way)
                raise NotStoredError(f"a capture in the cache is not used: {sentence}")
        finally:
            captured = plan = loaded = None  # type: ignore[assignment]
            if expected is None and observed is not None:
                trim()  # a rehearsal leaves no cycles that hold memory
            else:
                collect()
        return way

    def compile_as_it_ran(self, key: Key, batch: Any, before: PythonState, log: OpLog) -> RoamError | None:
        """`compile` a step that has just run eagerly, from the Python objects that it found (`before`). `log`: its ops.
        Returns the error, if there is one."""
        after = PythonState(reach(roots_of(self.training())))
        try:
            before.check_unused()
            before.restore()
            self.compile(key, batch, None, log)
        except (MismatchError, CaptureError) as error:
            return error
        finally:
            after.restore()
        return None

    def _knows(self, key: Key) -> bool:
        """Whether this step was captured for the same batch, up to truth values in it, which lead other ways."""
        return any(signatures_alike(key[0], one[0]) and one[2 : len(key)] == key[2:] for one in self._compiled)

    def _look_at(self, captured: Captured) -> None:
        """Raises CaptureError where a captured step could not be run."""

    def _planned(self, captured: Captured) -> Plan:
        """A plan for a step that the hook's plan was not made for, or for its first one."""
        return self._plans.make(captured)

    def is_still(self, compiled: Compiled, batch: Any) -> bool:
        """Whether a fresh capture is the very same step: then what has changed does not matter to it. `collect` frees
        what such captures leave, once after several."""
        training = self.training()
        self._compiled.pool.release()
        try:
            with muted(), schedulers_noted(reach(roots_of(training)), lambda *_: None):  # which a trace notes, too
                led = self._check.eager_first(training, batch)
            captured = _captured(training, batch, None if led is None else led.observed.log, compiled.reliance.changing)
            same = fingerprint(captured.graph) == compiled.graph_sha256
            return same and compiled.would_be(captured)
        except Exception:  # whatever the step raises where another value stands
            return False
        finally:
            captured = led = None  # type: ignore[assignment]


def _captured(training: TrainingStep, batch: Any, log: OpLog | None, changing: Changing) -> Captured:
    made = capture_step(
        training.model, training.optimizer, batch, training.function, log=log, changing=changing,
        adds=training.adds, keep_grads=training.keep_grads,
    )  # fmt: skip
    if made.trace.presumed:  # right for a plan; but what is run must not be taken for made
        raise SettledError(list(made.trace.presumed))
    return made


def _not_now(compiled: Compiled, batch: Any) -> str | None:
    """Why a step that was not captured just now cannot run on this batch; None where it can."""
    change = compiled.reliance.change(batch_leaves(batch))
    return compiled.goes_otherwise(batch) if change is None else change.sentence


def _there(places: Iterable[ValuePlace]) -> tuple[ValuePlace, ...]:
    """Those at which something stands."""

    def stands(place: ValuePlace) -> bool:
        try:
            place.read()
        except KeyError:
            return False
        return True

    return tuple(filter(stands, places))


def number_at(training: TrainingStep, path: str) -> ValuePlace | None:
    """The place of the Python number that the step reaches under this path."""
    for container in reach(roots_of(training)).containers:
        entries = container.read()
        for key, value in entries.items() if isinstance(entries, dict) else enumerate(entries):
            if is_plain_number(value) and container.place(key) == path and not isinstance(entries, set):
                return ValuePlace(container.held, key, path)
    return None


def _prime(training: TrainingStep, captured: Captured) -> None:
    """Make the optimizer state that the first step would make: of those optimizers that the step steps. Raises
    FirstStepError where only a step can make it."""
    named = training.parameters
    used = {found.path[:2] for found in captured.trace.inputs if found.kind == "state"}
    for number, optimizer in enumerate(training.optimizers):
        wanted = [named[name] for name in captured.trace.updated if (number, name) in used]
        if not prime_optimizer(optimizer, wanted) and not all(map(optimizer.state.get, wanted)):
            raise FirstStepError(
                f"{type(optimizer).__name__} makes its state in its first step; run one eager step before"
            )
