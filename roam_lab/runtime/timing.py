"""Times of the ops of a captured step: its program is run on the user's own tensors, which are put back afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from roam_lab.capture import Captured, OptimizerOrSeveral, optimizers_of, prime_optimizer
from roam_lab.capture.inputs import batch_leaves, read_setting
from roam_lab.capture.snapshot import Snapshot
from roam_lab.capture.sources.carried import carried_tensor
from roam_lab.capture.step import StepFunction
from roam_lab.capture.torch_internals import below_autograd, device_waits
from roam_lab.errors import InputError
from roam_lab.interrupt import PATIENCE_SECONDS, held
from roam_lab.ir import Graph, Layout, Rewritten, captured_order, untouched
from roam_lab.plan.beside import top_of
from roam_lab.plan.planner import ALIGNMENTS, lay_out
from roam_lab.registry import find
from roam_lab.runtime.arena import allocate
from roam_lab.runtime.binding import Residents, bind
from roam_lab.runtime.heap import Heap
from roam_lab.runtime.holes import give_up
from roam_lab.runtime.model_tree import ModelTree
from roam_lab.runtime.program import BEFORE, GIVE_UP, Program
from roam_lab.runtime.program_writer import write_program
from roam_lab.runtime.rates import measured_device

RUNS = 4
"""The number of runs. The first warms up and does not count; of the others the shortest time of each op is taken, as
other load on the machine only adds time."""
MARK = "mark"
"""The name in a program of the function that notes which op is next."""


def timed_graph(
    captured: Captured, model: torch.nn.Module, optimizer: OptimizerOrSeveral, batch: Any, step: StepFunction
) -> Graph:
    """The captured graph with the measured `time_us` of every op, and `device` and `times` as measured here.

    See `op_times`. `step`: the eager step that was captured. Raises InputError when the model holds no weights.
    """
    us = op_times(captured, model, optimizer, batch, step)
    ops = tuple(replace(op, time_us=round(time_us, 3)) for op, time_us in zip(captured.graph.ops, us, strict=True))
    device = measured_device(captured.where, captured.graph)
    times = f"measured: {_name(captured.where)}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    return replace(captured.graph, ops=ops, device=device, times=times)


def op_times(
    captured: Captured,
    model: torch.nn.Module,
    optimizer: OptimizerOrSeveral,
    batch: Any,
    step: StepFunction,
    rewritten: Rewritten | None = None,
) -> list[float]:
    """The time of each op of the captured graph, in microseconds; or of each op of `rewritten`, the same step
    rewritten.

    Ops run in the sequence in which they stand and, as in a plan, write into an arena, whose memory has been touched
    before. The time of a multi-tensor call is divided among its parts by their bytes. Model, optimizer, batch and
    random state are put back as they were; that takes one more copy of parameters and state in CPU memory. Raises
    InputError when the model holds no weights, or where `rewritten` moves storages to the host, which overlaps with
    ops.
    """
    if rewritten is not None and rewritten.offloaded_bytes:
        raise InputError("copies to the host run beside ops and have no time of their own; time a step without them")
    if any(parameter.is_meta for parameter in model.parameters()):
        raise InputError("the model is on the meta device and holds no weights to run; time it on real ones")
    with held(PATIENCE_SECONDS) as check:
        snapshot = Snapshot(model, optimizer)
        try:
            # of the state that is missing only shapes matter here
            primed = [prime_optimizer(one, fake=True) for one in optimizers_of(optimizer)]
            if not all(primed):
                step(model, optimizer, batch)
            marks = _Marks(_clock(captured.where), check)
            rewritten = rewritten or untouched(captured.graph)
            function, arguments = _bound(captured, rewritten, model, optimizer, batch, marks.mark)
            with below_autograd():
                for _ in range(RUNS):
                    function(*arguments)
        finally:
            snapshot.restore()
    return _shared(rewritten.graph, {op: 1e6 * seconds for op, seconds in marks.seconds().items()})


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _bound(
    captured: Captured,
    rewritten: Rewritten,
    model: torch.nn.Module,
    optimizer: OptimizerOrSeveral,
    batch: Any,
    mark: Callable[..., None],
) -> tuple[Callable[..., Any], list[Any]]:
    """The program of the step, which calls `mark` before each op, and its arguments."""
    graph, where = rewritten.graph, captured.where
    order = captured_order(graph)
    placed: Layout = lay_out(graph, order, find("layout", "best_fit"), {}, ALIGNMENTS[where.type], where.type)
    program = _marked(write_program(captured, order, placed.offsets, placed.arena_bytes, rewritten=rewritten))
    tensors = Residents(ModelTree(model, optimizer), optimizers_of(optimizer), program.residents).find()
    own = top_of(graph, placed.offsets)
    arena = allocate(own, where)
    arena.zero_()  # so that its memory is there
    heap = Heap(own, placed.arena_bytes)
    inside = {one: offset for one, offset in placed.offsets.items() if not graph.storages[one].external}
    calls: dict[str, Callable[..., Any]] = {MARK: mark, BEFORE: heap.before}
    calls[GIVE_UP] = partial(give_up, arena.data_ptr())
    function = program.compile(bind(program, inside, tensors, arena, {}, arena), calls)
    # the steps that are timed must not write into the user's batch
    leaves = [leaf.clone() if isinstance(leaf, torch.Tensor) else leaf for leaf in batch_leaves(batch)]
    arguments: list[Any] = []
    for found in program.arguments:
        if found.kind == "batch":
            arguments.append(leaves[found.path[0]])
        elif found.kind == "carried":
            arguments.append(carried_tensor(captured.trace.carried, found))
        elif found.kind == "python":
            arguments.append(captured.trace.places[found.path[0]].read())
        else:
            arguments.append(read_setting(optimizers_of(optimizer), found.path))
    return function, arguments


def _marked(program: Program) -> Program:
    """The same program with a call of MARK before the first line of each op. It ignores conditions: a step that is run
    again may have other values than the captured one."""

    def lines() -> Iterator[str]:
        before: int | None = None
        for number, line in enumerate(program.source.splitlines(keepends=True), start=1):
            op = program.op_of_line.get(number)
            if op is not None and op != before:
                yield f"    {MARK}({op})\n"
            if line.startswith("    return "):
                yield f"    {MARK}(None)\n"
            if not line.startswith("    if not "):
                yield line
            before = op

    return replace(program, source="".join(lines()), filename=f"{program.filename} timed")


def _shared(graph: Graph, us: dict[int, float]) -> list[float]:
    """The time of every op, in us. Parts of a multi-tensor call that ran as one share the time measured at the first of
    them by their bytes; an op without lines of its own takes 0."""
    found = [us.get(index, 0.0) for index in range(len(graph.ops))]
    weights = [1 + sum(graph.storages[one].bytes for one in (*op.creates, *op.reads, *op.writes)) for op in graph.ops]
    first = 0
    while first < len(graph.ops):
        last = first + 1
        call = graph.ops[first].call
        while call is not None and last < len(graph.ops) and last not in us and graph.ops[last].call == call:
            last += 1
        if last > first + 1:
            whole = found[first] / sum(weights[first:last])
            found[first:last] = [whole * weight for weight in weights[first:last]]
        first = last
    return found


host_seconds: Callable[[], float] = time.perf_counter
"""The clock for ops on the host; to be set to `time.process_time` where other work shares the processor."""


class _HostClock:
    """The clock for ops that are done when they return."""

    def ready(self) -> None:
        """Called before an op."""

    def mark(self) -> Any:
        """A mark of the present moment."""
        return host_seconds()

    def seconds(self, marks: tuple[Any, Any]) -> float:
        """The seconds between two marks; called when everything has run."""
        return float(marks[1] - marks[0])


class _DeviceClock(_HostClock):
    """The clock for CUDA: events on the device's stream. Before each op the device waits until the host has launched
    all kernels of the op, so that no time of the host is counted."""

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
"""How many cycles the device waits: about a third of a millisecond, in which the host launches the kernels of any
op."""


def _clock(device: torch.device) -> _HostClock:
    return _DeviceClock(device) if device.type == "cuda" else _HostClock()


class _Marks:
    """Notes when ops begin and end. `check` is called before each op; an exception that it raises ends the run."""

    def __init__(self, clock: _HostClock, check: Callable[[], None]) -> None:
        self._clock, self._check = clock, check
        self._spans: dict[int, list[tuple[Any, Any]]] = {}
        self._op: int | None = None
        self._began: Any = None

    def mark(self, op: int | None) -> None:
        """Note that the present op is done, and that `op` is next (None: no op)."""
        if self._op is not None:
            self._spans.setdefault(self._op, []).append((self._began, self._clock.mark()))
        self._op = op
        if op is not None:
            self._check()
            self._clock.ready()
            self._began = self._clock.mark()

    def seconds(self) -> dict[int, float]:
        """Op -> its shortest time, in seconds, over all runs but the first, for ops with lines of their own."""
        return {op: min(map(self._clock.seconds, spans[1:])) for op, spans in self._spans.items()}
