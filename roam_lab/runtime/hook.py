"""`roam.hook`: a plan, a model and its optimizer become a step function."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

import torch

from roam_lab.capture import (
    Captured,
    as_step,
    can_prime,
    capture_step,
    optimizers_of,
    prime_optimizer,
    step_device,
)
from roam_lab.capture.inputs import (
    Input,
    batch_leaves,
    batch_signature,
    fixed_settings,
    model_digest,
    model_modes,
    read_setting,
)
from roam_lab.capture.step import LossFunction, StepFunction
from roam_lab.errors import InputError, MismatchError, RoamError
from roam_lab.ir import fingerprint
from roam_lab.plan import Plan, load_plan, make_plan
from roam_lab.runtime.arena import allocate, arena_bytes
from roam_lab.runtime.binding import Residents, addresses, bind
from roam_lab.runtime.heap import Heap
from roam_lab.runtime.program import Program, write_program

ALIGNMENT = 64
"""Bytes: that of PyTorch's own CPU allocator."""
OnMismatch = Literal["eager", "error", "replan"]


class _Compiled:
    """One captured and planned step, bound to the user's tensors."""

    def __init__(
        self, captured: Captured, plan: Plan, model: torch.nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        self.captured = captured
        self.plan = plan
        self.optimizer = optimizer
        self.program: Program = write_program(captured, plan.order)
        size = arena_bytes(plan, captured.graph)
        self.arena = allocate(size, torch.device(captured.device))
        self.heap = Heap(size, plan.arena_bytes)
        inputs = captured.trace.inputs
        self.batch_positions = [found.path[0] for found in inputs if found.kind == "batch"]
        placeholders = [node for node in captured.trace.module.graph.nodes if node.op == "placeholder"]
        input_of = dict(zip(placeholders, inputs, strict=True))
        used = tuple(input_of[node] for node in placeholders if node.users)
        self.residents = Residents(model, optimizers_of(optimizer), used)
        self.settings = [input_of[node].path for node in self.program.arguments if input_of[node].kind == "setting"]
        self.fixed = fixed_settings(optimizers_of(optimizer))
        self.checked: tuple[Any, ...] | None = None
        self.bound: list[int] = []
        self.bind(self.residents.find())

    def current(self) -> dict[Input, torch.Tensor] | None:
        """The resident tensors of today; None when one is gone, or the model holds another constant than captured."""
        if any(vars(module).get(name) is not tensor for module, name, tensor in self.captured.trace.held):
            return None
        try:
            return self.residents.find()
        except KeyError:
            return None

    def bind(self, tensors: Mapping[Input, torch.Tensor]) -> None:
        """Make every view anew: at first, and when the user replaced a tensor."""
        places = bind(self.program, self.captured, self.plan, self.captured.graph, tensors, self.arena)
        self.function = self.program.compile(places, self.heap.before)
        self.bound = addresses(tensors)
        self.unproven: dict[str, tuple[torch.Tensor, int]] = {
            name: (tensor, tensor.data_ptr()) for name, tensor in places.items()
        }

    def _check_places(self) -> None:
        """After the first run: an op that gave its output other memory has broken the plan."""
        for name, (tensor, address) in self.unproven.items():
            if tensor.data_ptr() != address:
                node = self.program.places[name].like
                raise RoamError(
                    f"an op gave its output of shape {tuple(node.shape)} memory of its own, not its planned place; "
                    "report it with the model, and train eagerly"
                )
        self.unproven = {}

    def accepts_settings(self) -> bool:
        """Whether the step's branches on settings (weight decay or not, ...) still go the way they were captured."""
        if fixed_settings(optimizers_of(self.optimizer)) != self.fixed:
            return False
        values = tuple(read_setting(optimizers_of(self.optimizer), path) for path in self.settings)
        if values == self.checked:
            return True
        symbols = self.captured.trace.symbols
        now = {symbol: read_setting(optimizers_of(self.optimizer), found.path) for symbol, found in symbols.items()}
        if not all(bool(guard.subs(now)) for guard in self.captured.trace.guards):
            return False
        self.checked = values
        return True

    def run(self, batch: Any, tensors: Mapping[Input, torch.Tensor]) -> torch.Tensor:
        """One step on the resident `tensors`. Returns the loss, a tensor of its own."""
        if addresses(tensors) != self.bound:
            self.bind(tensors)
        leaves = batch_leaves(batch)
        arguments = [leaves[index] for index in self.batch_positions]
        arguments += [read_setting(optimizers_of(self.optimizer), path) for path in self.settings]
        self.heap.start()
        try:
            with torch.no_grad(), torch._C._AutoDispatchBelowAutograd(), torch._C._DisableAutocast():
                loss = self.function(*arguments)
        except Exception as error:
            raise self._named(error) from error
        if self.unproven:
            self._check_places()
        return loss

    def _named(self, error: Exception) -> RoamError:
        """The error with the op and the user's line that it comes from."""
        traceback, line = error.__traceback__, None
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename == self.program.filename:
                line = traceback.tb_lineno
            traceback = traceback.tb_next
        index = self.program.op_of_line.get(line or 0)
        first = (str(error) or type(error).__name__).splitlines()[0][:200]
        if index is None:
            return RoamError(f"the planned step failed ({first}); run the eager step to compare")
        op = self.captured.graph.ops[index]
        return RoamError(
            f"op {op.name} ({op.target}, {op.source or 'no source line'}) failed while the plan ran ({first}); "
            "parameters may be half updated: load a checkpoint, and run the eager step to compare"
        )


class PlannedStep:
    """`loss = step(batch)`: one training step in the planned order and layout, bit-identical to eager.

    The model's parameters and buffers and `optimizer.state` are updated in place; gradients are not kept. A batch
    of other shapes, another training mode, or settings that take another branch, follow `on_mismatch`.
    """

    def __init__(
        self, plan: Plan, model: torch.nn.Module, optimizer: torch.optim.Optimizer, step: StepFunction,
        on_mismatch: OnMismatch,
    ) -> None:  # fmt: skip
        self.plan = plan
        self.model = model
        self.optimizer = optimizer
        self.eager_step = step
        self.on_mismatch = on_mismatch
        self._compiled: dict[tuple[Any, ...], _Compiled] = {}
        self._eager: set[tuple[Any, ...]] = set()

    def __repr__(self) -> str:
        return f"PlannedStep({type(self.model).__name__}, {self.plan!r})"

    def prepare(self, batch: Any) -> None:
        """Capture, check and bind for batches like this one, without running; the first call does it otherwise.

        Where the optimizer can make its state only by running its first step, that step has to come first, eagerly.
        Raises MismatchError when the plan was made for another model, optimizer or step.
        """
        key = self._key(batch)
        if key in self._compiled or not can_prime(self.optimizer):
            return
        captured = capture_step(self.model, self.optimizer, batch, self.eager_step)
        plan = self.plan
        if fingerprint(captured.graph) != plan.graph_sha256:
            if self.on_mismatch != "replan":
                raise MismatchError(_why(captured, plan))
            plan = make_plan(captured.graph, seed=plan.seed, environment=captured.environment)
        named = dict(self.model.named_parameters())
        prime_optimizer(self.optimizer, [named[name] for name in captured.trace.updated])
        self._compiled[key] = _Compiled(captured, plan, self.model, self.optimizer)

    def _key(self, batch: Any) -> tuple[Any, ...]:
        device = step_device(self.model).type
        autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        return (batch_signature(batch), model_modes(self.model), autocast)

    def __call__(self, batch: Any) -> torch.Tensor:
        """Run one step on `batch` and return its loss (a 0-d tensor, detached)."""
        key = self._key(batch)
        compiled = self._compiled.get(key)
        tensors = compiled.current() if compiled else None
        if compiled and (tensors is None or (self.on_mismatch == "replan" and not compiled.accepts_settings())):
            del self._compiled[key]
            compiled = None
        if compiled is None and key not in self._eager:
            compiled = self._prepared(key, batch)
        if compiled is None or not compiled.accepts_settings():
            return self._run_eager(batch)
        loss = compiled.run(batch, tensors or compiled.residents.find())
        self.optimizer._opt_called = True  # type: ignore[attr-defined]  # learning-rate schedulers warn without it
        return loss

    def _prepared(self, key: tuple[Any, ...], batch: Any) -> _Compiled | None:
        """The compiled step for a batch and a mode seen for the first time; None when it has to run eagerly."""
        planned_for = self.plan.environment.get("batch")
        fits = planned_for in (None, batch_signature(batch))
        if not fits and self.on_mismatch == "eager":
            return None
        if not fits and self.on_mismatch == "error":
            raise MismatchError(
                f"this batch is {batch_signature(batch)}; the plan was made for {planned_for}; pad it, or use "
                "on_mismatch='eager' or 'replan'"
            )
        if not can_prime(self.optimizer):
            return None  # its first step makes the state; the next one is planned
        try:
            self.prepare(batch)
        except MismatchError:
            if self.on_mismatch != "eager" or not self._compiled:
                raise
            self._eager.add(key)  # the plan is for this model, but not in this mode
            return None
        return self._compiled[key]

    def _run_eager(self, batch: Any) -> torch.Tensor:
        if self.on_mismatch == "error" and can_prime(self.optimizer):
            raise MismatchError(
                "a setting of the optimizer now takes another branch of its update than in the plan (a weight decay "
                "that became zero, for example); plan again, or use on_mismatch='eager'"
            )
        result: torch.Tensor = self.eager_step(self.model, self.optimizer, batch)
        return result.detach()


def _why(captured: Captured, plan: Plan) -> str:
    """One sentence on why a captured step is not the one that was planned."""
    here, there = captured.environment, plan.environment
    for key in ("torch", "device", "batch", "model"):
        if key in there and there[key] != here[key]:
            shown = "" if key == "model" else f" ({there[key]} then, {here[key]} now)"
            return f"the plan was made for another {key}{shown}; profile and plan this step again"
    return (
        f"the plan was made for another training step (graph {plan.graph_sha256[:12]}, this one is "
        f"{fingerprint(captured.graph)[:12]}: another optimizer, loss, model code or training mode); "
        "profile and plan this step again"
    )


def hook(
    plan: Plan | str | os.PathLike[str],
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: LossFunction | torch.nn.Module | None = None,
    step: StepFunction | None = None,
    on_mismatch: OnMismatch = "eager",
) -> PlannedStep:
    """A step function that trains `model` as `plan` (or the plan file at that path) says: `loss = step(batch)`.

    `loss` and `step` as in `roam.profile`. `on_mismatch`, for batches of other shapes: run the ordinary eager
    step ("eager"), raise MismatchError ("error"), or plan for them as well ("replan"). Raises MismatchError at
    once when the plan is for another model, and FormatError for a damaged file.
    """
    if on_mismatch not in ("eager", "error", "replan"):
        raise InputError(f"on_mismatch is {on_mismatch!r}; choose 'eager', 'error' or 'replan'")
    plan = plan if isinstance(plan, Plan) else load_plan(plan)
    if plan.rewrites:
        raise MismatchError("the plan rewrites the graph, which this version does not run; plan without rewrites")
    if any(offset % ALIGNMENT for offset in plan.offsets.values()):
        raise MismatchError(
            f"the plan places tensors at addresses that are no multiples of {ALIGNMENT} bytes, where some ops round "
            "otherwise than eagerly; plan with the default alignment"
        )
    made_for = plan.environment.get("model")
    if made_for is not None and made_for != model_digest(model) and on_mismatch != "replan":
        raise MismatchError(
            f"the plan was made for another model than this {type(model).__name__} (its parameters or buffers differ); "
            "profile and plan this model"
        )
    return PlannedStep(plan, model, optimizer, as_step(loss, step), on_mismatch)
