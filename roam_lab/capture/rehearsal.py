"""A rehearsal: the step's own code run on fake tensors along the op log of an earlier eager step.

Nothing is computed and no memory is taken. Where the rehearsal runs the very ops of the log, on the same tensors, the
code still does what it did when the log was written. It runs other code than a trace does: no graph is built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from roam_lab.capture.constants import in_sequence, plain
from roam_lab.capture.eager_answers import answered_as_in_eager, autocast_cache
from roam_lab.capture.fake_mode import Fakes, StepFakeMode
from roam_lab.capture.guide import Guide
from roam_lab.capture.host_values import READ
from roam_lab.capture.inputs import Input, batch_leaves
from roam_lab.capture.lists import tolist_as_ops
from roam_lab.capture.literals import LIFTS, literal
from roam_lab.capture.outcome import Outcome, outcome_of
from roam_lab.capture.refusal import unlogged
from roam_lab.capture.rng import rng_as_ops
from roam_lab.capture.snapshot import Leaves, RandomState
from roam_lab.capture.sources.held_parameters import held_parameters_replaced
from roam_lab.capture.sources.optimizers import swapped
from roam_lab.capture.sources.python_state import PythonState
from roam_lab.capture.sources.reachable import reach
from roam_lab.capture.stored.code import Entered, unnoted
from roam_lab.capture.torch_internals import FakeTensor, TorchDispatchMode, parameters_replaced, pytree, without_modes
from roam_lab.capture.trace import refuse_at_sight
from roam_lab.capture.trace_inputs import TraceInputs, serials_of
from roam_lab.capture.training_step import TrainingStep, roots_of
from roam_lab.errors import CaptureError, PartedError
from roam_lab.interrupt import held
from roam_lab.ir.op_log import LoggedOp, OpLog


@dataclass(frozen=True)
class Rehearsed:
    """What a rehearsal has seen. `log`: the given one, with the numbers that ops are given now (a learning rate);
    `serials`, `literals`: as in `EagerRun`; `outcome`: what the step leaves in Python."""

    log: OpLog
    serials: Mapping[Input, int]
    literals: tuple[str, ...]
    outcome: Outcome


def rehearse(
    training: TrainingStep, batch: Any, log: OpLog, code: Entered, check: Callable[[], None]
) -> Rehearsed:  # fmt: skip
    """Run the step on fakes along a log, whose answers it gets for the numbers that it reads out of tensors.

    `code`: notes what code the step runs. `check` is called before each op; what it raises ends the rehearsal. Raises
    PartedError where the step runs another op, CaptureError where it cannot be run twice, and whatever a step may raise
    on fakes. Afterwards everything is as it was before.
    """
    names = refuse_at_sight(training)
    reachable = reach(roots_of(training))
    random, python, leaves = RandomState(), PythonState(reachable), Leaves(reachable)
    if python.cannot_restore:
        raise CaptureError(f"the step reaches {python.cannot_restore[0]}, which cannot be put back")
    caches = [(cache, cache.cache_info().misses) for cache in reachable.caches]
    follower = _Follower(log)
    mode = StepFakeMode(follower)
    fakes = Fakes(mode, None)
    try:
        inputs = TraceInputs(training, mode, fakes)
        given = inputs.enter_batch(batch, frozen=set(range(len(batch_leaves(batch)))))
        with (
            swapped(training.optimizers, fakes, names, inputs.tensors),
            parameters_replaced(training.model, dict(inputs.of_model), tie_weights=True),
        ):
            inputs.enter_state()
            with (
                _as_in_eager(),
                held_parameters_replaced(reachable, training.model, names, inputs.tensors, fakes.made),
                mode,
                _FollowerMode(mode, fakes, follower, check) as seen,
                code.noted(),
            ):
                result = training.run_as_ops(given)
            follower.end_of_step()
            serials = serials_of(training, given, follower.serial)
        used = [(path, twin) for path, one in reachable.tensors if (twin := fakes.made(one)) is not None]
        outcome = outcome_of(result, python.changes(), used, follower.serial)
        return Rehearsed(OpLog(tuple(follower.ran)), serials, tuple(seen.literals), outcome)
    finally:
        with held():
            python.restore()
            random.restore()
            for cache, misses in caches:
                if cache.cache_info().misses != misses:
                    cache.cache_clear()  # it holds fakes
            for tensor in fakes.forget():
                if isinstance(tensor.grad, FakeTensor):
                    tensor.grad = None
            leaves.restore()


@contextmanager
def _as_in_eager() -> Iterator[None]:
    caches_casts = torch.is_autocast_cache_enabled()
    with unlogged(), answered_as_in_eager(), autocast_cache(caches_casts), rng_as_ops(), tolist_as_ops():
        yield


class _Follower(Guide):
    """A guide that allows no difference: autograd runs in a rehearsal what it runs in eager. `ran`: the ops so far."""

    def __init__(self, log: OpLog) -> None:
        super().__init__(log)
        self.ran: list[LoggedOp] = []

    def follow(self, func: Any, args: Any, kwargs: Any) -> LoggedOp | None:
        """The op of the log that is run next, with the numbers that it is given now; None for one that no log has."""
        self.begin(func, args, kwargs, None)
        if self._extra or self.skipped or self.loose:
            raise PartedError(f"the step runs {func} where the log has another op")
        if self.current is None:
            return None
        leaves = pytree.tree_leaves(in_sequence(func, args, kwargs))
        numbers = tuple(plain(leaf) for leaf in leaves if not isinstance(leaf, torch.Tensor))
        op = self.current if numbers == self.current.constants else replace(self.current, constants=numbers)
        self.ran.append(op)
        return op

    def made_of_log(self, mode: StepFakeMode, func: Any) -> Any:
        """The results of an op, as the log has them, where each is a new tensor; else None."""
        returns = func._schema.returns
        if self.current is None or len(returns) != len(self.current.results):
            return None
        if any(str(one.type) != "Tensor" for one in returns):
            return None
        with without_modes():
            return self.made(mode, func)

    def end_of_step(self) -> None:
        """Raise PartedError where the log goes on."""
        if len(self.ran) != len(self._ops):
            raise PartedError(f"the step is over where the log goes on with {self._ops[len(self.ran)].target}")

    def serial(self, tensor: torch.Tensor) -> int | None:
        """The number in the log of the storage that a fake stands for; None where no op used it."""
        return self._storages.get(tensor.untyped_storage()._cdata) if tensor.layout is torch.strided else None


class _FollowerMode(TorchDispatchMode):
    """Gives each op that the step runs to the follower. Real tensors among its arguments become fakes; `literals`:
    digests of those that the step's code has made of Python values."""

    def __init__(self, mode: StepFakeMode, fakes: Fakes, follower: _Follower, check: Callable[[], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.literals: list[str] = []
        self._mode, self._fakes, self._follower, self._check = mode, fakes, follower, check

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with unnoted():
            return self._run(func, args, kwargs or {})

    def _run(self, func: Any, args: Any, kwargs: Any) -> Any:
        if func.namespace != "aten":  # what asks for a tensor's device comes from C++ that no exception may leave
            return func(*args, **kwargs)
        self._check()
        if func in LIFTS and _is_real(args[0]):
            self.literals.append(literal(args[0]))
            return func(*args, **kwargs)
        if any(_is_real(one) for one in pytree.arg_tree_leaves(*args, **kwargs)):
            args, kwargs = pytree.tree_map_only(_is_real, self._fakes, (args, kwargs))
        op = self._follower.follow(func, args, kwargs)
        if op is not None and func is READ:
            return op.answer
        made = None if op is None else self._follower.made_of_log(self._mode, func)
        result = func(*args, **kwargs) if made is None else made
        self._follower.end(result, None)
        return result


def _is_real(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and not isinstance(value, FakeTensor)
