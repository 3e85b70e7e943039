"""The planned step held against the eager one, from the same state, bit by bit, in the life of a hook."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch

from roam_lab.capture import TrainingStep
from roam_lab.capture.inputs import Input
from roam_lab.capture.outcome import Outcome, outcome_of
from roam_lab.capture.sources.world import muted, trial
from roam_lab.capture.stored.captures import Kept
from roam_lab.capture.stored.code import Entered
from roam_lab.errors import CaptureError, InputError
from roam_lab.interrupt import PATIENCE_SECONDS, held
from roam_lab.ir.op_log import OpLog
from roam_lab.measure.eager import EagerRun, record
from roam_lab.runtime.compiled import OtherWay
from roam_lab.runtime.everything import Everything
from roam_lab.runtime.heap import no_more_than_live, trim
from roam_lab.runtime.identity import Digests, digest, first_differences, told_difference, values_of
from roam_lab.runtime.reasons import Reason

Check = Literal["first", "never"] | int
"""Which planned steps are also run eagerly: the first of each compiled step, none, or every Nth and the first."""


def check_of(check: Any) -> Check:
    """`check` as `hook` takes it. Raises InputError for anything else."""
    if check in ("first", "never") or (isinstance(check, int) and not isinstance(check, bool) and check >= 1):
        return check  # type: ignore[no-any-return]
    raise InputError(f"check is {check!r}; choose 'first', 'never', or a whole number N >= 1 for every Nth step")


@dataclass(frozen=True)
class Observed:
    """What a step ran. `log`: every op; `code`: which code. `serials`, `literals`: see `EagerRun`. `outcome`: what it
    left in Python, where its capture is kept."""

    log: OpLog = field(default_factory=lambda: OpLog(()))
    code: Entered = field(default_factory=Entered)
    serials: Mapping[Input, int] = field(default_factory=dict)
    literals: tuple[str, ...] = ()
    outcome: Outcome = field(default_factory=dict)


@dataclass(frozen=True)
class Expected:
    """What an eager step left (`left`: digests), and the state that it and the planned step start from.

    `gradients`: digests of those that stayed set, by the parameter's name. `arrays`: paths of the arrays that the step
    changes. `observed`: what the eager step ran; empty where that was not asked for.
    """

    start: Everything
    left: Digests
    gradients: Digests
    arrays: frozenset[str]
    observed: Observed


@dataclass(frozen=True)
class Parted:
    """A planned step that left something else than the eager one; everything is again as before both.

    `planned`: its digests; `name`, `value`: the first tensor that differs, as the planned step left it.
    `error`: what the planned step raised, where it did not end.
    """

    eager: Digests
    planned: Digests
    name: str | None = None
    value: torch.Tensor | None = None
    error: Exception | None = None

    def reason(self, eager_values: dict[str, Any], number: int) -> Reason:
        """Why to run eagerly from then on; see `sentence`."""
        return Reason(self.sentence(eager_values, number), advice="report it with the model; train eagerly")

    def sentence(self, eager_values: dict[str, Any], number: int) -> str:
        """One sentence; `eager_values`: what the eager step leaves, run once more; `number`: that of the step."""
        if self.error is not None:
            return f"planned step {number} failed where the eager step does not: {str(self.error).partition(';')[0]}"

        def amount(name: str) -> str:
            eager = eager_values.get(name)
            if name != self.name or self.value is None or not isinstance(eager, torch.Tensor):
                return ""
            return told_difference(eager, self.value)

        found = first_differences(self.eager, self.planned, amount, most=1)
        return f"planned step {number} is not the eager step, bit for bit: {', '.join(found).rstrip()}"


class SelfCheck:
    """Runs a step eagerly, puts everything back, and compares what the planned step then leaves.

    `check`: which steps. `notes` hears, once each, why a check was left out.
    """

    def __init__(self, check: Check, notes: list[str]) -> None:
        self.check = check
        self._notes = notes
        self._impossible = False

    def due(self, proven: bool, planned_steps: int, leads: bool = False) -> bool:
        """Whether to run an eager step before the next planned one, which is to be checked: its compiled step is not
        `proven`, or it is an Nth one. Without checks it is run, too, where it `leads` a capture that no plan was made
        of: without its log a graph may be another than that of the step."""
        if self._impossible or self.check == "never":
            return leads and not self._impossible
        return not proven or (isinstance(self.check, int) and planned_steps % self.check == 0)

    def left_out(self, why: str) -> None:
        """Note that, and why, a step was not checked."""
        text = f"not checked against the eager step: {why}"
        if text not in self._notes:
            self._notes.append(text)

    def eager_first(
        self, step: TrainingStep, batch: Any, *, logged: bool = True, for_good: bool = False,
        kept: Kept | None = None,
    ) -> Expected | None:  # fmt: skip
        """Run the eager step and put everything back; None, with a note, when there is no memory for it.

        `logged`: run it once more, to write down its ops: the step that is compared runs unobserved, since a step can
        see whether it is observed. `kept`: where its capture is kept; what code runs is noted, too. If one is there, it
        has passed when it was made, so that to be observed makes no difference, and one run does for both. What the
        step itself raises is raised, everything put back before; or left as the step leaves it, where it is run
        `for_good`. A CaptureError, of what must not be tried, puts everything back whatever it is run for. Run it while
        no arena is held.
        """
        once = kept is not None and kept.entry is not None
        with no_more_than_live(), held(PATIENCE_SECONDS) as check, trial():
            start: Everything | None = None
            try:
                start = Everything(step, batch)
                if start.cannot_restore:
                    self._not_twice(start.cannot_restore)
                    return None
                code, run = Entered(), None
                try:
                    with code.noted() if kept else nullcontext():
                        if once:
                            run = record(step, batch)
                            result = run.result
                        else:
                            result = step.run(batch)
                except Exception as error:
                    if for_good and not _is_no_room(error) and not isinstance(error, CaptureError):
                        start = None
                    raise
                check()
                left = {**_digests_of(result), **start.digests()}
                gradients = start.gradients()
                result = None  # its memory is not needed beside the copy that is put back
                outcome = {} if run is None else _outcome(run, start)
                run = None if run is None else replace(run, result=None)
                arrays = frozenset(start.changed_arrays())
                if logged and not once:
                    start.restore()
                    for parameter in () if step.adds else step.parameters.values():
                        parameter.grad = None  # left from before; a step is captured as if there were none
                    with muted(), code.noted() if kept else nullcontext():
                        run = record(step, batch)
                    outcome = _outcome(run, start) if kept else {}
                    run = replace(run, result=None)
                seen = Observed(code=code)
                if run is not None:
                    seen = Observed(run.log, code, run.serials, run.literals, outcome)
                return Expected(start, left, gradients, arrays, seen)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _is_no_room(error):
                    raise
            finally:
                if start is not None:
                    start.restore()
        self._impossible = True
        self.left_out("it does not fit into memory")
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        trim()
        return None

    def _not_twice(self, paths: tuple[str, ...]) -> None:
        self._impossible = True
        self.left_out(f"the step reaches {paths[0]}, which cannot be put back after it")

    def compare(
        self, expected: Expected, run: Callable[[], Any], stays: Collection[str]
    ) -> tuple[Any, Parted | None]:  # fmt: skip
        """What the planned step `run` returns, and how it parted from the eager one; if it did, everything is put back.
        `stays`: names of the parameters whose gradient it leaves as eagerly; others it does not keep.

        Also when it is interrupted, everything is put back.
        """
        with held(PATIENCE_SECONDS) as check:
            try:
                with muted():
                    result = run()
                left = {**_digests_of(result), **expected.start.digests()}
                check()
            except OtherWay:
                expected.start.restore()
                raise
            except Exception as error:
                expected.start.restore()
                return None, Parted(expected.left, {}, error=error)
            except BaseException:
                expected.start.restore()
                raise
            gradients = expected.start.gradients()
            looked_at = sorted({*gradients, *stays})
            left |= _of_gradients(gradients, looked_at)
            wanted = {**expected.left, **_of_gradients(expected.gradients, looked_at)}
            if left == wanted:
                return result, None
            try:
                return None, self._parted(expected, wanted, left, result)
            finally:
                expected.start.restore()

    def _parted(self, expected: Expected, wanted: Digests, left: Digests, result: Any) -> Parted:
        values = {**dict(values_of(result)), **expected.start.tensors()}
        for name, eager in wanted.items():
            value = values.get(name)
            if left.get(name) != eager and isinstance(value, torch.Tensor):
                return Parted(wanted, left, name, value.detach().to("cpu", copy=True))
        return Parted(wanted, left)


def _of_gradients(digests: Digests, names: Collection[str]) -> Digests:
    return {f"the gradient of {name}": digests.get(name, "none") for name in names}


def _outcome(run: EagerRun, start: Everything) -> Outcome:
    return outcome_of(run.result, start.changes(), start.reached, run.serial)


def _digests_of(result: Any) -> Digests:
    return {name: digest(value) for name, value in values_of(result)}


def _is_no_room(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
