"""Optimizers as a source of state: their fake parameters, state and settings while a step is traced."""

from __future__ import annotations

import builtins
import inspect
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from roam_lab.capture.fake_mode import Fakes
from roam_lab.capture.inputs import Input, Optimizers, groups_of, setting_inputs
from roam_lab.capture.prime import numeric_settings
from roam_lab.capture.sources.places import OptimizerPlace
from roam_lab.capture.sources.python_values import is_number
from roam_lab.capture.torch_internals import ConstantSource, DimDynamic, ShapeEnv, without_overrides
from roam_lab.capture.user_lines import user_line
from roam_lab.errors import CaptureError
from roam_lab.interrupt import held


@contextmanager
def swapped(
    optimizers: Optimizers, fakes: Fakes, names: Mapping[int, str], tensors: Mapping[str, torch.Tensor]
) -> Iterator[None]:
    """A context in which the optimizers hold fakes of their parameters, state and tensor settings."""
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
    """A copy of nested dicts, lists and tuples with fakes in place of tensors."""
    if isinstance(value, torch.Tensor):
        return fakes(value)
    if isinstance(value, dict):
        return {key: _with_fakes(item, fakes) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_with_fakes(item, fakes) for item in value)
    return value


def settle_state(optimizers: Optimizers, fakes: Fakes) -> None:
    """Replace state that was made while priming by plain fakes: torch may know its values as constants (a step of
    0.0)."""
    for optimizer in optimizers:
        for p, entries in optimizer.state.items():
            optimizer.state[p] = _with_fakes(entries, fakes)


@contextmanager
def steps_noted(optimizers: Optimizers, note: Callable[[torch.optim.Optimizer], None]) -> Iterator[None]:
    """A context in which `note(optimizer)` is called before each step of a given one. Raises CaptureError when an
    optimizer that was not given is stepped; what other threads train is none of it."""
    given, thread = {id(optimizer) for optimizer in optimizers}, threading.get_ident()

    def before(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if id(optimizer) not in given:
            if threading.get_ident() != thread:
                return
            raise CaptureError(
                f"{user_line(sys._getframe()) or 'the step'}: the step also steps a {type(optimizer).__name__} that "
                "was not given; give all of them, optimizer=(first, second), and the step takes the tuple"
            )
        note(optimizer)

    handle = register_optimizer_step_pre_hook(before)
    try:
        yield
    finally:
        handle.remove()


def symbol_for(environment: ShapeEnv, value: int | float, name: str) -> tuple[Any, Any]:
    """A new symbol with `value` as its hint, and the SymInt or SymFloat that wraps it."""
    source = ConstantSource(name)
    symbol = environment.create_unspecified_symbol(value, source=source, dynamic_dim=DimDynamic.DYNAMIC)
    make = environment.create_symfloatnode if isinstance(value, float) else environment.create_symintnode
    return symbol, make(symbol, hint=value, source=source)


def symbolic_settings(
    optimizers: Optimizers, environment: ShapeEnv, inputs: list[Input], values: list[Any]
) -> dict[Any, Input]:
    """Replace every float setting by a symbol, so that a scheduler may change it; appends to `inputs` and `values`.
    Returns symbol -> input."""
    symbols: dict[Any, Input] = {}
    made: dict[tuple[Any, ...], Any] = {}
    for found, value in list(setting_inputs(optimizers)):
        if not isinstance(value, torch.Tensor):
            name = "setting_" + "_".join(str(part) for part in found.path if part is not None)
            symbol, value = symbol_for(environment, float(value), name)
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


def numbers_of(optimizers: Optimizers, names: Mapping[int, str], real: Mapping[str, Any]) -> dict[OptimizerPlace, Any]:
    """Every number in the (fake) state and groups of the optimizers, by its place among the real ones. `names`: id of a
    fake parameter -> name; `real`: name -> real parameter."""
    found: dict[OptimizerPlace, Any] = {}
    for number, optimizer in enumerate(optimizers):
        for parameter, entries in optimizer.state.items():
            name = names.get(id(parameter))
            if name is None:
                continue
            for keys, value in _numbers_below(entries):
                path = f"optimizer[{number}].state[{name}]{''.join(f'[{key!r}]' for key in keys)}"
                found[OptimizerPlace(optimizer, keys, path, real[name], number)] = value
    for number, index, group in groups_of(optimizers):
        for keys, value in _numbers_below({key: value for key, value in group.items() if key != "params"}):
            path = f"optimizer[{number}].param_groups[{index}]{''.join(f'[{key!r}]' for key in keys)}"
            found[OptimizerPlace(optimizers[number], keys, path, index, number)] = value
    return found


def holds_numbers(setting: Any) -> bool:
    """Whether a setting is a tensor, or holds numbers that `numbers_of` yields, so that symbols may replace them."""
    return isinstance(setting, torch.Tensor | dict | list) or any(True for _ in _numbers_below(setting))


def _numbers_below(value: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if is_number(value) or (isinstance(value, tuple) and value and all(map(is_number, value))):
        yield (), value
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from (((key, *keys), number) for keys, number in _numbers_below(item))


@contextmanager
def symbolic_min_max(optimizers: Optimizers) -> Iterator[None]:
    """A context in which `min` and `max` in the optimizers' modules accept symbols (Adafactor clips its step size)."""
    classes = {type(optimizer) for optimizer in optimizers}
    methods = [inspect.unwrap(value) for kind in classes for value in vars(kind).values() if inspect.isfunction(value)]
    spaces = {id(method.__globals__): method.__globals__ for method in methods}
    symbolic: dict[str, Any] = {"min": torch.sym_min, "max": torch.sym_max}

    def shim(name: str) -> Callable[..., Any]:
        def choose(*values: Any, **kwargs: Any) -> Any:
            if len(values) == 2 and any(isinstance(value, torch.SymFloat) for value in values):
                with without_overrides():
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


def host_state(optimizers: Optimizers) -> list[Any]:
    """For each optimizer the structure of its state and groups, to be compared: numbers and tensors by type only."""
    return [
        [
            {
                key: "tensor" if isinstance(value, torch.Tensor) else "number" if is_number(value) else value
                for key, value in entry.items()
                if isinstance(value, (bool, str, type(None), torch.Tensor)) or is_number(value)
            }
            for entry in [*optimizer.state.values(), *optimizer.param_groups]
        ]
        for optimizer in optimizers
    ]
