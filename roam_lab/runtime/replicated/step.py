"""`result = step(batch)` on several ranks: all of them run a step planned, or all run it eagerly."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Generator, Iterable
from typing import Any

from roam_lab.capture.inputs import batch_leaves
from roam_lab.capture.step import StepFunction
from roam_lab.capture.training_step import OptimizerOrSeveral
from roam_lab.distributed import Ranks, refuse_unsupported
from roam_lab.distributed.bucket_memory import memory_of
from roam_lab.distributed.buckets import settle
from roam_lab.distributed.collectives import digest_of
from roam_lab.distributed.ranks import answered
from roam_lab.distributed.wrapper import adds_to_gradients, averages_now, have_buffers_taken, takes_buffers
from roam_lab.errors import CaptureError, FirstStepError, InfeasibleError, MismatchError, RoamError
from roam_lab.runtime.choice import Choice, Key, OnMismatch
from roam_lab.runtime.compiled import Compiled, FailedBefore, OtherWay
from roam_lab.runtime.executors import ExecutorName
from roam_lab.runtime.forward_watch import ForwardWatch
from roam_lab.runtime.known_before import other_gradients
from roam_lab.runtime.planned_step import PlannedStep
from roam_lab.runtime.plans import Plans
from roam_lab.runtime.reasons import Reason
from roam_lab.runtime.replicated.check import RankedCheck
from roam_lab.runtime.replicated.compiler import RankedCompiler
from roam_lab.runtime.replicated.lent_memory import ArenaAndBuckets
from roam_lab.runtime.replicated.wishes import Wish
from roam_lab.runtime.self_check import Check, Expected, Parted

Choices = Generator[Choice, str]


class ReplicatedStep(PlannedStep):
    """A PlannedStep of a DistributedDataParallel or a sharded model, called by all ranks together.

    Before each step the ranks tell each other, in one number, what they want to do; where one wants to run eagerly, all
    do. What a captured step exchanges is the same on all of them, or none runs it.
    """

    _kind_of_check, _kind_of_compiler = RankedCheck, RankedCompiler
    _check: RankedCheck
    _compiler: RankedCompiler

    def __init__(
        self, ranks: Ranks, plans: Plans, model: Any, optimizer: OptimizerOrSeveral, step: StepFunction,
        on_mismatch: OnMismatch, check: Check = "first", executor: ExecutorName = "python",
        keep_grads: bool | tuple[str, ...] = False,
    ) -> None:  # fmt: skip
        super().__init__(plans, model, optimizer, step, on_mismatch, check, executor, keep_grads)
        self._ranks = self._compiler.ranks = ranks
        self._adds = adds_to_gradients(model)
        lent = ArenaAndBuckets(self._pool, model)
        self._watch = ForwardWatch(self._tree, lent)
        weakref.finalize(self, lent.end)

    def __reduce__(self) -> tuple[Any, ...]:
        from roam_lab.runtime.replicated.agreed_plan import replicated_step

        given, plans = (self.plan, Plans(None)) if self._plans.given else (None, self._plans)
        made_of = (given, self.model, self.optimizer, self.eager_step, self.on_mismatch, self._check.check)
        return replicated_step, (*made_of, self._execution.asked, self._keep_grads, plans)

    def prepare(self, batch: Any) -> None:
        """As on one rank, by all ranks together. Does nothing before the first step, in which gradients arrive."""
        if not settle(self.model):
            return
        known = bool(self._compiled.ways(self._key(batch))) or self._known.first_step() is not None
        if self._ranks.largest(int(known)) == [1]:
            return
        memory_of(self.model).take()
        error: RoamError | None = None
        try:
            super().prepare(batch)
        except RoamError as raised:
            error = raised
        sentences = self._ranks.gathered(None if error is None else str(error))
        if error is not None:
            raise error
        for rank, sentence in enumerate(sentences):
            if sentence is not None:
                raise CaptureError(f"rank {rank} cannot plan this step: {sentence}")

    def _key(self, batch: Any) -> Key:
        return (*super()._key(batch), takes_buffers(self.model), averages_now(self.model))

    def _step(self, batch: Any) -> Any:
        choices = self._choices_here(batch)
        with self._check.alone():
            choice = next(choices)
        while True:
            agreed, why = self._agree(choice)
            if agreed == Wish.EAGER:
                return self._run_eager(batch, self._reason_of_all(choice, why))
            expected, error = self._expected(agreed, choice, batch)
            if agreed == Wish.CAPTURED:
                captured = self._captured_by_all(choice, batch, expected, error)
                if isinstance(captured, Reason):
                    return self._run_eager(batch, captured)
                choice = captured
            elif agreed == Wish.CHECKED:
                reason = self._not_checked(error)
                if reason is not None:
                    return self._run_eager(batch, reason)
            assert choice.compiled is not None
            try:
                return self._run_planned(choice.way, choice.compiled, batch, expected)
            except OtherWay as other:  # by a number that all ranks have
                with self._check.alone():
                    choice = choices.send(str(other))
            except FailedBefore as failed:  # others wait for what this rank should have exchanged
                raise RoamError(f"{failed}; start all ranks again from a checkpoint") from failed

    def _choices_here(self, batch: Any) -> Choices:
        """What this rank would do."""
        reason = self._not_now()
        if reason is not None:
            return itertools.chain([Choice((), reason=reason)])  # type: ignore[return-value]
        return self._choices(self._key(batch), batch)

    def _not_now(self) -> Reason | None:
        """Why this step cannot be planned, whatever the batch."""
        if not settle(self.model):
            return Reason(
                "DistributedDataParallel arranges its buckets in its first step, which runs eagerly", first=True
            )
        if not self._adds and not averages_now(self.model):
            return Reason(
                "the step runs inside no_sync(), and gradients of several calls are not added up in planned steps with "
                "find_unused_parameters=True or gradient_as_bucket_view=True"
            )
        try:
            refuse_unsupported(self.model)
        except CaptureError as error:
            return Reason(_first(str(error)))
        return None

    def _wish(self, choice: Choice) -> Wish:
        if choice.reason is not None:
            return Wish.EAGER
        if choice.compiled is None:
            return Wish.CAPTURED
        due = self._check.due(choice.compiled.proven, self.planned_steps) and not self._verified(choice.compiled)
        return Wish.CHECKED if due else Wish.PLANNED

    def _agree(self, choice: Choice) -> tuple[Wish, str | None]:
        """What all ranks do now, and why none of their own reasons tells."""
        exchanged = 0 if choice.compiled is None else _number(choice.compiled)
        agreed, most, least = self._ranks.largest(self._wish(choice), exchanged, -exchanged)
        if agreed <= Wish.CHECKED and most != -least:
            return Wish.EAGER, "what the captured steps of two ranks exchange is not the same"
        return Wish(agreed), None

    def _reason_of_all(self, choice: Choice, why: str | None) -> Reason:
        """This rank's own reason to run eagerly, or that of the first that has one."""
        own = choice.reason
        words = self._ranks.gathered(None if own is None else own.sentence)
        if own is not None:
            return own
        if why is not None:
            return Reason(why)
        rank, sentence = next((rank, word) for rank, word in enumerate(words) if word is not None)
        return _elsewhere(rank, sentence)

    def _expected(self, agreed: Wish, choice: Choice, batch: Any) -> tuple[Expected | None, CaptureError | None]:
        """What the eager step leaves, where all ranks run it first; or why it could not be tried on this one."""
        if agreed == Wish.PLANNED or self._check.check == "never":
            return None, None
        logged = agreed == Wish.CAPTURED
        if logged or choice.compiled is None or not choice.compiled.executor.holds_addresses:
            self._pool.release()
        memory_of(self.model).take()
        try:
            with answered():
                return self._check.eager_first(self._training, batch, logged=logged, for_good=True), None
        except CaptureError as error:
            return None, error

    def _not_checked(self, error: CaptureError | None) -> Reason | None:
        """Why all ranks run eagerly where one could not try its eager step."""
        sentences = self._ranks.gathered(None if error is None else _first(str(error)))
        if error is not None:
            return Reason(_first(str(error)))
        return next((_elsewhere(rank, word) for rank, word in enumerate(sentences) if word is not None), None)

    def _captured_by_all(
        self, choice: Choice, batch: Any, expected: Expected | None, error: RoamError | None
    ) -> Choice | Reason:
        """The captured step of each rank, where all have one and exchange the same; else why all run eagerly. `error`:
        why this rank could not try its eager step."""
        new = choice.compiled is None
        if choice.compiled is not None or error is not None:
            self._compiler.stand_by()
        else:
            try:
                choice = self._captured_here(choice, batch, expected)
            except (MismatchError, CaptureError, InfeasibleError) as raised:
                error = raised
        too_small = str(error) if isinstance(error, InfeasibleError) else None
        gathered = self._ranks.gathered((None if error is None else str(error), too_small, _exchanges(choice.compiled)))
        _refuse_too_small(word for _, word, _ in gathered)
        failed = next((rank for rank, (word, _, _) in enumerate(gathered) if word is not None), None)
        if failed is None and len({exchanges for _, _, exchanges in gathered}) == 1:
            return choice
        if error is None and (failed is not None or not new):  # what was captured here may be right with others
            if failed is None:
                return Reason("what the captured steps of two ranks exchange is not the same")
            return _elsewhere(failed, _first(gathered[failed][0]))
        if error is None:
            self._compiled.drop(choice.way)
            error = MismatchError("another rank exchanges something else in this step; run one script on all ranks")
        if isinstance(error, FirstStepError):
            return Reason(_first(str(error)))
        return self._refused(choice.key, error)

    def _captured_here(self, choice: Choice, batch: Any, expected: Expected | None) -> Choice:
        """Raises CaptureError and MismatchError; all ranks capture, or stand by."""
        if choice.other is not None and not self._ways.may_grow(choice.key):
            self._compiler.stand_by()
            raise CaptureError(f"{choice.other}, and it takes too many ways to capture each")
        way = self._compiler.compile(choice.key, batch, expected)
        compiled = self._compiled[way]
        sentence = compiled.goes_otherwise(batch)
        if sentence is not None:
            self._compiled.drop(way)
            raise CaptureError(f"a way was captured that its own batch does not take ({sentence})")
        if not self._adds and other_gradients(self._training, self._tree, compiled, batch_leaves(batch)) is not None:
            raise FirstStepError(
                "gradients are left from before the step, which adds to them"
            )  # another time it is right
        return Choice(choice.key, way, compiled)

    def _run_planned(self, key: Key, compiled: Compiled, batch: Any, expected: Expected | None) -> Any:
        if expected is None:
            result = self._ran(compiled, batch)
        else:
            result, parted = self._check.compare(expected, lambda: self._ran(compiled, batch), compiled.stays)
            [anywhere] = self._ranks.largest(int(parted is not None))
            if parted is not None:
                return self._stay_eager(key, parted, batch)
            if anywhere:
                expected.start.restore()
                return self._eager_with_others(key, batch)
            compiled.note_equal()
        self.planned_steps += 1
        self._ways.ran(key[:-1])
        return result

    def _eager_with_others(self, key: Key, batch: Any) -> Any:
        """Run eagerly from now on: another rank's planned step was not its eager one."""
        self._compiled.drop(key)
        reason = Reason(f"planned step {self.planned_steps + 1} is not the eager step on another rank")
        self._eager[key[:-1]] = reason
        return self._run_eager(batch, reason)

    def _ran(self, compiled: Compiled, batch: Any) -> Any:
        memory_of(self.model).give_back()
        with answered():
            result = super()._ran(compiled, batch)
        have_buffers_taken(self.model, self._compiler.takes_buffers(compiled))
        return result

    def _run_eager(self, batch: Any, reason: Reason) -> Any:
        memory_of(self.model).take()
        with answered():
            return super()._run_eager(batch, reason)

    def _stay_eager(self, key: Key, parted: Parted, batch: Any) -> Any:
        memory_of(self.model).take()
        return super()._stay_eager(key, parted, batch)


def _first(sentence: str) -> str:
    """What is wrong, without the advice."""
    return sentence.partition(";")[0]


def _elsewhere(rank: int, sentence: str) -> Reason:
    """This rank's reason to run eagerly where another one has to."""
    return Reason(f"rank {rank} runs this step eagerly: {sentence}")


def _refuse_too_small(sentences: Iterable[str | None]) -> None:
    """Raises InfeasibleError on all ranks where the budget is too small for the first plan of one."""
    for rank, sentence in enumerate(sentences):
        if sentence is not None:
            raise InfeasibleError(f"{sentence} (rank {rank})")


def _exchanges(compiled: Compiled | None) -> str | None:
    return None if compiled is None else digest_of(*compiled.exchanges)


def _number(compiled: Compiled) -> int:
    """What a captured step exchanges, as one number."""
    return int(digest_of(*compiled.exchanges)[:15], 16)
