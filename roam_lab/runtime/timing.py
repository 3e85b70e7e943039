"""How long each op of a captured step takes: the graph run op by op on the user's own tensors, then undone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import median
from typing import Any

import torch
from torch.fx import Interpreter, Node

from roam_lab.capture import Captured, OptimizerOrSeveral, optimizers_of, prime_optimizer
from roam_lab.capture.inputs import batch_leaves, read_setting
from roam_lab.capture.snapshot import Snapshot
from roam_lab.capture.step import StepFunction
from roam_lab.capture.torch_internals import below_autograd, device_waits
from roam_lab.errors import InputError
from roam_lab.interrupt import PATIENCE_SECONDS, held
from roam_lab.ir import Graph
from roam_lab.runtime.binding import Residents
from roam_lab.runtime.model_tree import ModelTree

RUNS = 3
"""The median of three discards the first run's warming up."""


def timed_graph(
    captured: Captured, model: torch.nn.Module, optimizer: OptimizerOrSeveral, batch: Any, step: StepFunction
) -> Graph:
    """The captured graph with `time_us` on every op: microseconds, median of RUNS runs in captured order.

    Model, optimizer, batch and random state are put back as they were; that takes one more copy of parameters and
    state in CPU memory. `step` is the eager step that was captured. Raises InputError when the model holds no weights.
    """
    if any(parameter.is_meta for parameter in model.parameters()):
        raise InputError("the model is on the meta device and holds no weights to run; time it on real ones")
    with held(PATIENCE_SECONDS) as check:
        snapshot = Snapshot(model, optimizer)
        try:
            # of the state that is missing only shapes matter here
            primed = [prime_optimizer(one, fake=True) for one in optimizers_of(optimizer)]
            if not all(primed):
                step(model, optimizer, batch)
            timer = _Timer(captured.trace.module, _clock(captured.where), check)
            arguments = _arguments(captured, model, optimizer, batch)
            with below_autograd():
                for _ in range(RUNS):
                    timer.run(*arguments)
        finally:
            snapshot.restore()
    ops = (
        replace(op, time_us=round(1e6 * timer.seconds(node), 3))
        for op, node in zip(captured.graph.ops, captured.step.nodes, strict=True)
    )
    return replace(captured.graph, ops=tuple(ops))


def _arguments(captured: Captured, model: torch.nn.Module, optimizer: OptimizerOrSeveral, batch: Any) -> list[Any]:
    """The value of every input of the step, in order."""
    tensors = Residents(ModelTree(model), optimizers_of(optimizer), captured.trace.inputs).find()
    # the steps that are timed must not write into the user's batch
    leaves = [leaf.clone() if isinstance(leaf, torch.Tensor) else leaf for leaf in batch_leaves(batch)]
    values: list[Any] = []
    for item in captured.trace.inputs:
        if item.kind == "batch":
            values.append(leaves[item.path[0]])
        elif item in tensors:
            values.append(tensors[item])
        else:
            values.append(read_setting(optimizers_of(optimizer), item.path))
    return values


class _HostClock:
    """Of ops that are done when they return."""

    def ready(self) -> None:
        """Before an op."""

    def mark(self) -> Any:
        """A moment."""
        return time.perf_counter()

    def seconds(self, marks: tuple[Any, Any]) -> float:
        """Between two moments, when all has run."""
        return float(marks[1] - marks[0])


class _DeviceClock(_HostClock):
    """Events on the device's own stream. The device waits before each op until the host has given it all of it, so
    that no time of the host's is counted."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def ready(self) -> None:
        device_waits(_WAIT_CYCLES)

    def mark(self) -> Any:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def seconds(self, marks: tuple[Any, Any]) -> float:
        marks[1].synchronize()
        return float(marks[0].elapsed_time(marks[1])) / 1e3


_WAIT_CYCLES = 500_000
"""Of the device: about a third of a millisecond, in which the host launches the kernels of any one op."""


def _clock(device: torch.device) -> _HostClock:
    return _DeviceClock(device) if device.type == "cuda" else _HostClock()


class _Timer(Interpreter):
    """Runs the traced module and notes the times of each call, without those of finding its arguments.

    `check` is called before each: what it raises ends the run.
    """

    def __init__(self, module: torch.fx.GraphModule, clock: _HostClock, check: Callable[[], None]) -> None:
        super().__init__(module)
        self._check = check
        self._marks: dict[Node, list[tuple[Any, Any]]] = {}
        self._clock = clock
        self._node: Node | None = None

    def run_node(self, node: Node) -> Any:
        self._check()
        self._node = node
        return super().run_node(node)

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        self._clock.ready()
        began = self._clock.mark()
        result = super().call_function(target, args, dict(kwargs))
        if self._node is not None:
            self._marks.setdefault(self._node, []).append((began, self._clock.mark()))
        return result

    def seconds(self, node: Node) -> float:
        """Median over the runs."""
        return median(map(self._clock.seconds, self._marks[node]))
