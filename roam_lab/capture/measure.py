"""One real eager step, its memory recorded operator by operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from roam_lab.capture.snapshot import Snapshot
from roam_lab.capture.step import StepFunction
from roam_lab.capture.storage_recorder import StorageRecorder
from roam_lab.interrupt import PATIENCE_SECONDS, held
from roam_lab.ir.compare_measured import compare
from roam_lab.ir.measured import MeasuredCurve

__all__ = ["compare", "measure_eager"]


def measure_eager(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Any,
    step_function: StepFunction,
    *,
    device: str | torch.device | None = None,
) -> MeasuredCurve:
    """Run one eager step and record the bytes alive after each operator.

    The curve is that of a steady-state step: without optimizer state (and always on CUDA, whose libraries allocate
    workspaces on first use) one unrecorded step runs first, so that the recorded one finds its state in place. Model,
    gradients, optimizer, train/eval mode and random state are then put back as they were, also when the step raises;
    state that was not there before is removed again. Takes one more copy of parameters and state in CPU memory.

    `device` None: that of the first parameter. CPU: storages followed by a dispatch mode, so bytes are exact and
    allocator overhead and workspaces inside kernels are not seen. CUDA: the caching allocator's own statistics.
    """
    if device is None:
        device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    device = torch.device(device)
    with held(PATIENCE_SECONDS) as check:
        snapshot = Snapshot(model, optimizer)
        try:
            if device.type == "cuda":
                step_function(model, optimizer, batch)
                return _on_cuda(model, optimizer, batch, step_function, device)
            if not optimizer.state:
                _recorded(model, optimizer, batch, step_function, check)
            recorder = _recorded(model, optimizer, batch, step_function, check)
            return MeasuredCurve(
                tuple(recorder.labels), tuple(recorder.live), "storages followed by a dispatch mode", str(device)
            )
        finally:
            snapshot.restore()


def _recorded(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Any,
    step_function: StepFunction,
    check: Callable[[], None],
) -> StorageRecorder:
    """What a recorder saw of one step; `check` is called before each operator."""
    before = [*model.parameters(), *model.buffers(), *_held_tensors(model, optimizer, batch)]
    recorder = StorageRecorder(before, check=check)
    with recorder:
        loss = step_function(model, optimizer, batch)
    del loss  # held until here: the caller of a step has its loss
    return recorder


def _held_tensors(model: torch.nn.Module, optimizer: torch.optim.Optimizer, batch: Any) -> list[torch.Tensor]:
    """What exists before the step besides the model: optimizer state, settings, gradients left over, the batch."""
    parts = [
        [parameter.grad for parameter in model.parameters()],
        list(optimizer.state.values()),
        optimizer.param_groups,
        batch,
    ]
    return [leaf for leaf in tree_leaves(parts) if isinstance(leaf, torch.Tensor)]


class _AllocatorRecorder(TorchDispatchMode):
    """Notes the most bytes that the CUDA caching allocator had handed out during each operator, above `base`."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.labels: list[str] = []
        self.live: list[int] = []
        self._device = device
        self._base = torch.cuda.memory_allocated(device)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        torch.cuda.reset_peak_memory_stats(self._device)
        result = func(*args, **(kwargs or {}))
        self.labels.append(str(func))
        self.live.append(max(0, torch.cuda.max_memory_allocated(self._device) - self._base))
        return result


def _on_cuda(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Any,
    step_function: StepFunction,
    device: torch.device,
) -> MeasuredCurve:
    with _single_threaded_backward():
        torch.cuda.synchronize(device)
        recorder = _AllocatorRecorder(device)
        with recorder:
            loss = step_function(model, optimizer, batch)
        torch.cuda.synchronize(device)
        del loss
    how = "torch.cuda.memory_stats, allocated bytes"
    return MeasuredCurve(tuple(recorder.labels), tuple(recorder.live), how, str(device))


@contextmanager
def _single_threaded_backward() -> Iterator[None]:
    """Dispatch modes hold for one thread, and CUDA's backward pass runs on another unless told not to."""
    with torch.autograd.set_multithreading_enabled(False):
        yield
