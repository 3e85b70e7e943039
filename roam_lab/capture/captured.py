"""`capture_step`, the one call by which the rest of the project captures a training step, and its result."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.fx import Node

from roam_lab.capture.accumulate import accumulate_in_place
from roam_lab.capture.attempts import trace_step
from roam_lab.capture.conditions import Placed, checks_inside, place, written_before_checks
from roam_lab.capture.cuda_workspace import cublas_workspace_bytes, staging_bytes
from roam_lab.capture.device import ADVICE, no_cuda
from roam_lab.capture.finished import compare_with_log
from roam_lab.capture.gradients import gradients_held
from roam_lab.capture.inputs import batch_signature, model_digest
from roam_lab.capture.multi_tensor import split_multi_tensor
from roam_lab.capture.nodes import note_elsewhere, note_own_results, tensors_of
from roam_lab.capture.sources.places import NOTHING_KNOWN, Changing
from roam_lab.capture.step import StepFunction, as_step
from roam_lab.capture.to_ir import Step, build_step
from roam_lab.capture.trace import Trace
from roam_lab.capture.training_step import OptimizerOrSeveral, TrainingStep
from roam_lab.capture.views_in_place import views_under_new_names
from roam_lab.errors import DataDependentError, DeviceError
from roam_lab.interrupt import PATIENCE_SECONDS, held
from roam_lab.ir import Graph, captured_order, live_peak
from roam_lab.ir.op_log import OpLog
from roam_lab.ir.training_run import TrainingRun

MOST_UNDONE_BYTES = 64 * 2**20
"""The most bytes of parameters, buffers and state that a step may write before its last condition is checked."""


@dataclass(frozen=True)
class Captured:
    """A captured step: the graph to plan, and what is needed to run it again.

    `eager` is the step just as eager PyTorch runs it: a graph of tensors only, and the memory that CUDA libraries take.
    `graph` is what is planned: it adds gradients in place where eager does not, and counts workspaces. `batch`: the
    signature that a batch must have; `model`: a digest of the model's tensors; `where`: the step's device.
    `conditions`: on values, under which the captured way through the branches is right. `undone`: the inputs that ops
    write before a condition inside the step is checked; they are put back where it does not hold.
    """

    step: Step
    eager: TrainingRun
    trace: Trace
    batch: str
    model: str
    where: torch.device
    conditions: tuple[Placed, ...] = ()
    undone: tuple[Node, ...] = ()

    @property
    def graph(self) -> Graph:
        """The training step as storages and ops."""
        return self.step.graph

    @property
    def device(self) -> str:
        """The type of the step's device: "cpu" or "cuda"."""
        return self.where.type

    @property
    def eager_graph(self) -> Graph:
        """The step just as eager PyTorch runs it, tensors only."""
        return self.eager.graph

    @property
    def environment(self) -> dict[str, str]:
        """What a plan of this step keeps in `environment`: torch's version, the device, the batch's signature and the
        model's digest."""
        return {"torch": torch.__version__, "device": self.device, "batch": self.batch, "model": self.model}

    @property
    def resident(self) -> dict[str, int]:
        """Kind (parameter, buffer, state, batch, constant) -> bytes that are always there."""
        return {kind: sum(sizes) for kind, sizes in self.step.resident.items()}


def step_device(model: torch.nn.Module, device: str | torch.device | None = None) -> torch.device:
    """The device of the model's parameters; where they are on the meta device, `device` (None: cpu)."""
    own = next((p.device for p in model.parameters()), torch.device("cpu"))
    return torch.device(device or "cpu") if own.type == "meta" else own


def capture_step(
    model: torch.nn.Module,
    optimizer: OptimizerOrSeveral,
    batch: Any,
    step: StepFunction | None = None,
    *,
    name: str | None = None,
    device: str | torch.device | None = None,
    log: OpLog | None = None,
    changing: Changing = NOTHING_KNOWN,
    adds: bool = False,
    keep_grads: bool | tuple[str, ...] = False,
) -> Captured:
    """Capture one whole training step without running it; model, optimizer, batch and random state stay as they are.

    `optimizer`: one, or a tuple. `step(model, optimizer, batch) -> loss` defaults to `as_step()`. `device`: the device
    that tensors on the meta device stand for. `log`: the ops that the eager step ran on this batch; the capture follows
    it. `changing`: Python values that are known to change from step to step; any others are found. `adds`,
    `keep_grads`: see `TrainingStep`. Raises CaptureError, and DeviceError where that device is not there.
    """
    where = step_device(model, device)
    if where.type == "cuda" and not torch.cuda.is_available():  # autograd asks for it, also with fakes
        raise DeviceError(f"{no_cuda()}, and traces no CUDA step without one; {ADVICE}")
    training = TrainingStep(model, optimizer, step or as_step(), adds, keep_grads)
    with held(PATIENCE_SECONDS) as check:
        trace = trace_step(training, batch, where, check, log, changing)
    _hold_against(trace, log)
    kept = gradients_held(trace.module, trace.gradients_held)
    note_elsewhere(trace.module.graph.nodes, where)
    accumulate_in_place(trace.module, as_eager=True)
    placeholders = [node for node in trace.module.graph.nodes if node.op == "placeholder"]
    name = name or type(model).__name__
    inputs = dict(zip(placeholders, trace.inputs, strict=True))
    gradients = {node for nodes in kept.values() for node in nodes}
    eager = _eager(
        build_step(trace.module, name, inputs, where, workspace=False, held=kept, gradients=gradients), where
    )
    split_multi_tensor(trace.module)
    accumulate_in_place(trace.module, as_eager=False)
    _hold_against(trace, log)
    views_under_new_names(trace.module)
    note_own_results(trace.module, trace.left)
    signature = batch_signature(batch, where.type)
    return captured_of(trace, name, signature, model_digest(model), where, eager, gradients)


def captured_of(
    trace: Trace,
    name: str,
    batch: str,
    model: str,
    where: torch.device,
    eager: TrainingRun | None = None,
    gradients: Collection[Node] = (),
) -> Captured:
    """The captured step of a trace on which all passes have run. `eager`: None where it is not needed. `gradients`: the
    nodes that make parameters' gradients, from which reports know the kind of storages."""
    placeholders = [node for node in trace.module.graph.nodes if node.op == "placeholder"]
    inputs = dict(zip(placeholders, trace.inputs, strict=True))
    conditions = place(trace.conditions, trace.module.graph, inputs)
    checks = checks_inside(conditions, trace.module.graph)
    built = build_step(trace.module, name, inputs, where, workspace=True, checks=checks, gradients=gradients)
    if eager is not None:
        built = replace(built, graph=replace(built.graph, eager_peak_bytes=_peak(eager.graph)))
    undone = written_before_checks(trace.module.graph, checks)
    _refuse_much_to_undo(undone, trace)
    eager = eager or TrainingRun(built.graph, built.resident)
    return Captured(built, eager, trace, batch, model, where, conditions, undone)


def _eager(step: Step, device: torch.device) -> TrainingRun:
    temporaries = {index: size for index, node in enumerate(step.nodes) if (size := staging_bytes(node))}
    return TrainingRun(step.graph, step.resident, temporaries, cublas_workspace_bytes(device))


def _peak(graph: Graph) -> int:
    return live_peak(graph, captured_order(graph)).bytes


def _hold_against(trace: Trace, log: OpLog | None) -> None:
    """Compare the graph as it is now with the eager step, where its log is known. Raises PartedError."""
    if log is not None:
        checked = {node for condition in trace.conditions for node in condition.nodes}
        compare_with_log(trace.module, log, checked, trace.skipped, trace.loose)


def _refuse_much_to_undo(undone: tuple[Node, ...], trace: Trace) -> None:
    size = sum(tensor.untyped_storage().nbytes() for node in undone for tensor in tensors_of(node))
    if size > MOST_UNDONE_BYTES:
        line = next((condition.source for condition in trace.conditions if condition.source), None)
        raise DataDependentError(
            f"{line + ': ' if line else ''}the step branches on a value after it has changed {size / 2**20:,.0f} "
            "MiB of parameters or state, which could not be taken back; branch before the first update"
        )
