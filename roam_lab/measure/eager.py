"""One real eager step: its memory and its operators, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from roam_lab.capture import OptimizerOrSeveral, TrainingStep, can_prime, prime_optimizer
from roam_lab.capture.inputs import Input
from roam_lab.capture.lists import tolist_as_ops
from roam_lab.capture.sources.python_state import not_put_back
from roam_lab.capture.sources.snapshot_everything import FullSnapshot
from roam_lab.capture.sources.world import muted, trial
from roam_lab.capture.step import StepFunction
from roam_lab.capture.torch_internals import TorchDispatchMode, pytree, without_modes
from roam_lab.capture.trace_inputs import serials_of
from roam_lab.capture.training_step import has_step_hooks
from roam_lab.distributed import arrivals_noted, buckets_known
from roam_lab.errors import CaptureError
from roam_lab.interrupt import PATIENCE_SECONDS, held
from roam_lab.ir.measured import MeasuredCurve
from roam_lab.ir.op_log import OpLog
from roam_lab.measure.op_recorder import OpRecorder

__all__ = ["EagerRun", "measure_eager", "observed", "record"]


@dataclass(frozen=True)
class EagerRun:
    """One eager step that ran: its memory, every operator that it ran, and what it returned.

    `curve`: live bytes at each operator; `log`: the operators; `result`: what the step returned. `serials`: for each
    input of the step the number, in the log, of the storage that it has at the end of the step. `literals`: digests of
    the tensors that the step's code made of Python values, in sequence. `serial`: that number for any
    tensor which is still alive; None for one that no operator used.
    """

    curve: MeasuredCurve
    log: OpLog
    result: Any
    serials: Mapping[Input, int] = field(default_factory=dict)
    literals: tuple[str, ...] = ()
    serial: Callable[[torch.Tensor], int | None] = lambda _: None


def measure_eager(
    model: torch.nn.Module,
    optimizer: OptimizerOrSeveral,
    batch: Any,
    step_function: StepFunction,
) -> MeasuredCurve:
    """Run one eager step and record the bytes alive at each operator; everything is put back as it was.

    The curve is that of a steady-state step, with optimizer state in place: see `observed`.
    """
    with observed(TrainingStep(model, optimizer, step_function), batch) as observer:
        return observer.observe().curve


@dataclass(frozen=True)
class Observer:
    """Runs one training step, eagerly and several times; `observed` makes it, and puts back in the end whatever the
    runs changed."""

    training: TrainingStep
    batch: Any
    check: Callable[[], None]

    def observe(self) -> EagerRun:
        """Run and record one eager step, and put everything back as it was before it."""
        before = _snapshot(self.training, self.batch)
        try:
            for parameter in self.training.parameters.values():
                parameter.grad = None  # left from before; a step is captured as if there were none
            with muted(), trial():
                return record(self.training, self.batch, self.check)
        finally:
            before.restore()

    def arrange(self) -> None:
        """Run one eager step to note in which sequence gradients arrive at a DistributedDataParallel that has not run a
        step yet, and put everything back as it was before it."""
        if buckets_known(self.training.model):
            return
        before = _snapshot(self.training, self.batch)
        try:
            with muted(), arrivals_noted(self.training.model):
                self.training.run(self.batch)
        finally:
            before.restore()

    def settle(self) -> None:
        """Run one eager step and keep what only a first run makes: optimizer state, buffers, settings."""
        with muted(), trial():
            record(self.training, self.batch, self.check)


@contextmanager
def observed(training: TrainingStep, batch: Any) -> Iterator[Observer]:
    """A context that yields an observer of eager steps. At its end everything that the step reaches is put back as it
    was, also when a step raises, and state that was not there before is removed again.

    Where an optimizer can make its state only by a step, and always on CUDA (whose libraries allocate workspaces on
    first use), one step is run first. Takes one more copy of parameters and state, above 64 MiB in a file. Raises
    CaptureError where the step reaches what could not be put back.

    How memory is measured: on the CPU a dispatch mode follows every storage, so bytes are exact, but workspaces inside
    kernels and the allocator's overhead are not seen; on CUDA by the caching allocator's own statistics.
    """
    with held(PATIENCE_SECONDS) as check:
        snapshot = _snapshot(training, batch)
        if snapshot.python.cannot_restore:
            raise CaptureError(not_put_back(snapshot.python.cannot_restore[0]))
        try:
            observer = Observer(training, batch, check)
            observer.arrange()
            device = next((p.device for p in training.model.parameters()), torch.device("cpu"))
            if not all(map(can_prime, training.optimizers)) or device.type == "cuda":
                observer.settle()
            yield observer
        finally:
            snapshot.restore()


def _snapshot(training: TrainingStep, batch: Any) -> FullSnapshot:
    return FullSnapshot(training.model, training.optimizer, training.function, batch=batch)


def record(training: TrainingStep, batch: Any, check: Callable[[], None] = lambda: None) -> EagerRun:
    """Run one eager step and record it. `check` is called before each operator: what it raises ends the step.

    Optimizer state that is missing, and can be primed, is made just before its optimizer's step and is not recorded:
    the step is recorded as every later one runs.
    """
    model = training.model
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    recorder = OpRecorder([*model.parameters(), *model.buffers(), *_held_tensors(training, batch)], check=check)
    if device.type == "cuda":
        return _record_on_cuda(training, batch, device, recorder)
    with _primed_unseen(training), recorder:
        result = training.run_as_ops(batch)
    how = "storages followed by a dispatch mode"
    curve = MeasuredCurve(tuple(recorder.labels), tuple(recorder.live), how, str(device))
    serials = serials_of(training, batch, recorder.told_as)
    return EagerRun(curve, recorder.log, result, serials, tuple(recorder.literals), recorder.told_as)


@contextmanager
def _primed_unseen(training: TrainingStep) -> Iterator[None]:
    """A context in which, before each step of an optimizer, the state of all parameters with a gradient is made, with
    dispatch modes off, so that no recorder sees it."""

    def prime(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        with without_modes():
            with_gradient = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            prime_optimizer(optimizer, with_gradient)

    hooked = filter(has_step_hooks, training.optimizers)
    handles = [optimizer.register_step_pre_hook(prime) for optimizer in hooked]
    try:
        with tolist_as_ops():
            yield
    finally:
        for handle in handles:
            handle.remove()


def _held_tensors(training: TrainingStep, batch: Any) -> list[torch.Tensor]:
    """Tensors that exist before the step besides the model's: optimizer state and settings, old gradients, the
    batch."""
    parts = [
        [parameter.grad for parameter in training.parameters.values()],
        *([list(optimizer.state.values()), optimizer.param_groups] for optimizer in training.optimizers),
        batch,
    ]
    return [leaf for leaf in pytree.tree_leaves(parts) if isinstance(leaf, torch.Tensor)]


class _AllocatorPeaks(TorchDispatchMode):
    """Notes, for each operator, the peak of the bytes requested of the CUDA caching allocator while it ran, above those
    before the step. Requested bytes are those that a graph counts: the allocator's rounding is not in them."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live: list[int] = []
        self._device = device
        self._base = self._requested("current")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        torch.cuda.reset_peak_memory_stats(self._device)
        result = func(*args, **(kwargs or {}))
        self.live.append(max(0, self._requested("peak") - self._base))
        return result

    def _requested(self, which: str) -> int:
        return int(torch.cuda.memory_stats_as_nested_dict(self._device)["requested_bytes"]["all"][which])


def _record_on_cuda(training: TrainingStep, batch: Any, device: torch.device, recorder: OpRecorder) -> EagerRun:
    with _single_threaded_backward():
        torch.cuda.synchronize(device)
        peaks = _AllocatorPeaks(device)
        with (
            _primed_unseen(training),
            peaks,
            recorder,
        ):  # the recorder sees an op first, the allocator's peaks are those of the kernel alone
            result = training.run_as_ops(batch)
        torch.cuda.synchronize(device)
    how = "torch.cuda.memory_stats, requested bytes"
    curve = MeasuredCurve(tuple(recorder.labels), tuple(peaks.live), how, str(device))
    serials = serials_of(training, batch, recorder.told_as)
    return EagerRun(curve, recorder.log, result, serials, tuple(recorder.literals), recorder.told_as)


@contextmanager
def _single_threaded_backward() -> Iterator[None]:
    """A context in which backward runs on the calling thread: dispatch modes hold for one thread only, and on CUDA
    autograd uses another."""
    with torch.autograd.set_multithreading_enabled(False):
        yield
