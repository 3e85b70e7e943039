"""One training step -> one fx graph of ATen ops, on fake tensors: nothing is computed, no weight is needed."""

from __future__ import annotations

import builtins
import inspect
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch._dynamo.source import ConstantSource
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv
from torch.nn.utils.stateless import _reparametrize_module
from torch.optim.optimizer import register_optimizer_step_pre_hook

from roam_lab.capture.fused import FusedOptimizerMode
from roam_lab.capture.inputs import (
    Fakes,
    Input,
    Optimizers,
    StepFakeMode,
    batch_leaves,
    check_leaves,
    groups_of,
    parameter_names,
    setting_inputs,
    state_inputs,
    with_leaves,
)
from roam_lab.capture.outside import OutsideTensors, PythonState
from roam_lab.capture.prime import numeric_settings, prime_optimizer
from roam_lab.capture.provenance import ProvenanceMode, follow, user_line
from roam_lab.capture.refusal import explain, refuse_closure, refuse_sparse, refuse_wrapped, unlogged
from roam_lab.capture.rng import rng_as_ops
from roam_lab.capture.snapshot import RandomState
from roam_lab.capture.training_step import TrainingStep
from roam_lab.errors import CaptureError
from roam_lab.interrupt import held


@dataclass(frozen=True)
class Trace:
    """A traced step: `module`'s placeholders are `inputs`, in order.

    `guards`: sympy conditions on settings (a weight decay that is not zero, ...) under which the trace is right;
    `symbols` names each setting's symbol. `updated`: names of the parameters that received a gradient. `held`: the
    constants that are attributes of modules, as (module, name, tensor).
    """

    module: torch.fx.GraphModule
    inputs: tuple[Input, ...]
    guards: tuple[Any, ...]
    symbols: Mapping[Any, Input]
    updated: tuple[str, ...]
    held: tuple[tuple[torch.nn.Module, str, torch.Tensor], ...]


def trace_step(training: TrainingStep, batch: Any, device: torch.device | None, check: Callable[[], None]) -> Trace:
    """Trace `training` on `batch` with make_fx. The model, optimizers and batch are left as they were.

    `device` stands in for tensors on the meta device. `check` is called before each op: what it raises ends the trace.
    Raises CaptureError (DataDependentError when the step branches on values) naming the user's line.
    """
    model, optimizers = training.model, training.optimizers
    names = parameter_names(model, optimizers)
    refuse_wrapped(model)
    for optimizer in optimizers:
        refuse_closure(optimizer)
    mode = StepFakeMode()
    environment = mode.settings
    fakes = Fakes(mode, device)
    outside = OutsideTensors(fakes)
    provenance = ProvenanceMode(outside, check)
    random, python = RandomState(), PythonState(model, training.function)
    updated: list[str] = []

    tensors = {name: fakes(value) for name, value in [*model.named_parameters(), *model.named_buffers()]}
    kinds = dict.fromkeys((name for name, _ in model.named_parameters()), "parameter")
    leaves = batch_leaves(batch)
    check_leaves(leaves)
    inputs: list[Input] = [Input(kinds.get(name, "buffer"), (name,)) for name in tensors]  # type: ignore[arg-type]
    values: list[Any] = list(tensors.values())
    for index, leaf in enumerate(leaves):
        if isinstance(leaf, torch.Tensor):
            leaves[index] = fakes(leaf.view_as(leaf))  # one tensor under two names is two inputs
            inputs.append(Input("batch", (index,)))
            values.append(leaves[index])
    fake_batch = with_leaves(batch, leaves)

    try:
        with _swapped(optimizers, fakes, names, tensors):
            fake_names = {id(tensors[name]): name for name in kinds}
            with mode:
                for optimizer in optimizers:
                    prime_optimizer(optimizer, fake=True)
            _settle_state(optimizers, fakes)
            for found, value in state_inputs(optimizers, fake_names):
                inputs.append(found)
                values.append(value)
            symbols = _symbolic_settings(optimizers, environment, inputs, values)
            before = _host_state(optimizers)

            def note_updated() -> None:
                updated.extend(name for name in kinds if tensors[name].grad is not None)

            def traced(*_: Any) -> torch.Tensor:
                with _reparametrize_module(model, dict(tensors), tie_weights=True):
                    with (
                        _zeroing_noted(model, optimizers) as zeroed,
                        follow(provenance, model, optimizers),
                        _steps_noted(optimizers, note_updated),
                    ):
                        loss = training.run(fake_batch)
                    _check_step(loss, [tensors[name] for name in kinds], zeroed)
                    for name, buffer in model.named_buffers():
                        if name in tensors and buffer is not tensors[name]:
                            tensors[name].copy_(buffer)  # the step bound a new tensor to the name
                return loss.detach()  # type: ignore[no-any-return]

            with mode, FusedOptimizerMode(provenance), _symbolic_min_max(optimizers), rng_as_ops(), unlogged():
                module = make_fx(traced, _allow_non_fake_inputs=True)(*values)
            changed = [o for o, a, b in zip(optimizers, before, _host_state(optimizers), strict=True) if a != b]
            if changed:
                raise CaptureError(
                    f"{type(changed[0]).__name__} makes state in its first step, or counts in Python numbers, which a "
                    "captured step cannot do; run one eager step first, or use an optimizer with state in tensors"
                )
            refuse_sparse(module)
            outside.check_gradients()
            python.check(outside)
            random.check()
    except Exception as error:
        raise explain(error) from error
    finally:
        with held():
            outside.drop_gradients()
            python.restore()
            random.restore()
    module.graph.eliminate_dead_code(lambda node: _has_effect(node))
    return Trace(
        module,
        tuple(inputs),
        tuple(guard.expr for guard in environment.guards),
        symbols,
        tuple(dict.fromkeys(updated)),
        outside.held(model),
    )


def _has_effect(node: torch.fx.Node) -> bool:
    """Ops that must stay without users: those that write, draw random numbers, or are inputs and outputs."""
    if node.op != "call_function":
        return node.op in ("placeholder", "output")
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):
        return False
    if target.namespace == "profiler":
        return False
    return target._schema.is_mutable or torch.Tag.nondeterministic_seeded in target.tags


@contextmanager
def _swapped(
    optimizers: Optimizers, fakes: Fakes, names: Mapping[int, str], tensors: Mapping[str, torch.Tensor]
) -> Iterator[None]:
    """The optimizers with fake parameters, state and tensor settings; restored at the end whatever happens."""
    groups = [(group, dict(group)) for _, _, group in groups_of(optimizers)]
    states = [optimizer.state for optimizer in optimizers]
    called = [vars(optimizer).get("_opt_called") for optimizer in optimizers]
    try:
        for optimizer in optimizers:
            fake_state: dict[Any, dict[str, Any]] = defaultdict(dict)
            for p, entries in optimizer.state.items():
                if isinstance(p, torch.Tensor) and id(p) in names:
                    fake_state[tensors[names[id(p)]]] = _with_fakes(entries, fakes)
            optimizer.state = fake_state  # type: ignore[assignment]
        for group, _ in groups:
            group["params"] = [tensors[names[id(p)]] for p in group["params"]]
            for key, value in group.items():
                if isinstance(value, torch.Tensor):
                    group[key] = fakes(value)
        yield
    finally:
        with held():
            for optimizer, state, was_called in zip(optimizers, states, called, strict=True):
                optimizer.state = state
                vars(optimizer).pop("_opt_called", None)
                if was_called is not None:
                    optimizer._opt_called = was_called  # type: ignore[attr-defined]
            for group, saved in groups:
                group.clear()
                group.update(saved)


def _with_fakes(value: Any, fakes: Fakes) -> Any:
    """The same nest of dicts, lists and tuples around fakes of its tensors."""
    if isinstance(value, torch.Tensor):
        return fakes(value)
    if isinstance(value, dict):
        return {key: _with_fakes(item, fakes) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_with_fakes(item, fakes) for item in value)
    return value


def _settle_state(optimizers: Optimizers, fakes: Fakes) -> None:
    """State made while priming may carry known constants (a step of 0.0); replace it with plain fakes."""
    for optimizer in optimizers:
        for p, entries in optimizer.state.items():
            optimizer.state[p] = _with_fakes(entries, fakes)


@contextmanager
def _steps_noted(optimizers: Optimizers, note: Callable[[], None]) -> Iterator[None]:
    """Call `note` before each step of a given optimizer. Raises CaptureError when another one is stepped."""
    given = {id(optimizer) for optimizer in optimizers}

    def before(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if id(optimizer) not in given:
            raise CaptureError(
                f"{user_line(sys._getframe()) or 'the step'}: the step also steps a {type(optimizer).__name__} that "
                "was not given; give all of them, optimizer=(first, second), and the step takes the tuple"
            )
        note()

    handle = register_optimizer_step_pre_hook(before)
    try:
        yield
    finally:
        handle.remove()


def _symbolic_settings(
    optimizers: Optimizers, environment: ShapeEnv, inputs: list[Input], values: list[Any]
) -> dict[Any, Input]:
    """Make every float setting a symbol, so that a scheduler may change it; returns symbol -> input."""
    symbols: dict[Any, Input] = {}
    made: dict[tuple[Any, ...], Any] = {}
    for found, value in list(setting_inputs(optimizers)):
        if not isinstance(value, torch.Tensor):
            source = ConstantSource("setting_" + "_".join(str(part) for part in found.path if part is not None))
            value = float(value)
            symbol = environment.create_unspecified_symbol(value, source=source, dynamic_dim=DimDynamic.DYNAMIC)
            value = environment.create_symfloatnode(symbol, hint=value, source=source)
            symbols[symbol] = found
            made[found.path] = value
        inputs.append(found)
        values.append(value)
    for number, index, group in groups_of(optimizers):
        for key, value in numeric_settings(group).items():
            if isinstance(value, tuple):
                group[key] = tuple(made[number, index, key, part] for part in range(len(value)))
            else:
                group[key] = made[number, index, key, None]
    return symbols


@contextmanager
def _symbolic_min_max(optimizers: Optimizers) -> Iterator[None]:
    """Let `min` and `max` in the optimizers' own modules take symbols (Adafactor clips its step size with them)."""
    classes = {type(optimizer) for optimizer in optimizers}
    methods = [inspect.unwrap(value) for kind in classes for value in vars(kind).values() if inspect.isfunction(value)]
    spaces = {id(method.__globals__): method.__globals__ for method in methods}
    symbolic: dict[str, Any] = {"min": torch.sym_min, "max": torch.sym_max}

    def shim(name: str) -> Callable[..., Any]:
        def choose(*values: Any, **kwargs: Any) -> Any:
            if len(values) == 2 and any(isinstance(value, torch.SymFloat) for value in values):
                return symbolic[name](*values)
            return getattr(builtins, name)(*values, **kwargs)

        return choose

    touched = [(space, name) for space in spaces.values() for name in symbolic if name not in space]
    for space, name in touched:
        space[name] = shim(name)
    try:
        yield
    finally:
        for space, name in touched:
            del space[name]


def _host_state(optimizers: Optimizers) -> list[Any]:
    """The Python numbers that each optimizer holds beside its tensors and float settings."""
    return [
        [
            {
                key: "tensor" if isinstance(value, torch.Tensor) else value
                for key, value in entry.items()
                if isinstance(value, (bool, int, str, type(None), torch.Tensor))
            }
            for entry in [*optimizer.state.values(), *optimizer.param_groups]
        ]
        for optimizer in optimizers
    ]


@contextmanager
def _zeroing_noted(model: torch.nn.Module, optimizers: Optimizers) -> Iterator[list[bool]]:
    """Note whether the step clears gradients itself."""
    noted: list[bool] = []

    def wrap(original: Callable[..., None]) -> Callable[..., None]:
        def zero_grad(*args: Any, **kwargs: Any) -> None:
            noted.append(True)
            original(*args, **kwargs)

        return zero_grad

    owners: list[Any] = [model, *optimizers]
    for owner in owners:
        owner.zero_grad = wrap(owner.zero_grad)
    try:
        yield noted
    finally:
        for owner in owners:
            del owner.zero_grad


def _check_step(loss: Any, parameters: list[torch.Tensor], zeroed: list[bool]) -> None:
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        found = f"shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else type(loss).__name__
        raise CaptureError(f"the step does not return a scalar loss tensor ({found}); return the loss")
    if any(p.grad is not None for p in parameters) and not zeroed:
        raise CaptureError(
            "gradients stay set after the step and the step never clears them, so the next one would add to them; "
            "call optimizer.zero_grad() inside the step"
        )
