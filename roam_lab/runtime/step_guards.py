"""The guards of a compiled step: made at its capture, checked before each planned step."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import torch

from roam_lab.capture import TrainingStep
from roam_lab.capture.prime import numeric_settings
from roam_lab.capture.sources.guards import Guards
from roam_lab.capture.sources.places import OptimizerPlace
from roam_lab.capture.sources.reachable import Reachable, reach
from roam_lab.capture.sources.world import variables_guarded
from roam_lab.capture.trace import Trace
from roam_lab.capture.training_step import roots_of

_SCHEDULED = ("initial_lr", "max_lr", "min_lr", "swa_lr", "base_momentum", "max_momentum")
"""Settings of a parameter group that only schedulers use."""
_COMPARED = (bool, int, str, tuple, type(None), torch.Tensor)
"""Types of the settings that are inputs, or that `fixed_settings` compares."""
_PATH = re.compile(
    r"^(?:the entries of |the contents of the array |a .*? of )?(.+?)"
    r"(?: was | were | is another | have changed|\.requires_grad was )"
)


def guards_of(step: TrainingStep, trace: Trace) -> Guards:
    """Guards of everything that a traced step reaches, with its present value, and of the environment variables that it
    reads.

    Left out are: what the step changes itself, what it does not read (`Trace.unread`), and what is looked up in each
    step: numbers that are inputs, the optimizers' settings that are inputs or compared apart, tensors of their state.
    """
    reachable = reach(roots_of(step))
    beside = variables_guarded(trace.variables)
    return Guards(reachable, left_out_of(reachable, trace), beside, trace.places)


def left_out_of(reachable: Reachable, trace: Trace) -> set[str]:
    """The paths that `guards_of` leaves out."""
    left_out = set(trace.changed | trace.unread)
    for path, optimizer in reachable.optimizers:
        left_out.add(f"{path}._opt_called")
        for index, group in enumerate(optimizer.param_groups):
            numbers = numeric_settings(group)
            keys = [key for key, value in group.items() if key in numbers or isinstance(value, _COMPARED)]
            left_out.update(f"{path}.param_groups[{index}][{key!r}]" for key in (*keys, *_SCHEDULED) if key != "params")
    return left_out | _of_state(reachable, {_place(one) for one in trace.places if isinstance(one, OptimizerPlace)})


def _of_state(reachable: Reachable, counted: Collection[tuple[int, Any]]) -> set[str]:
    """The paths of tensors and of `counted` numbers in optimizers' state; where a parameter's state has nothing else,
    the path of that whole state."""
    states = {id(optimizer.state): f"{path}.state" for path, optimizer in reachable.optimizers}
    left_out: set[str] = set()
    other: set[str] = set()
    for container in reachable.containers:
        entries = container.read() if container.kind in ("dict", "list") else {}
        counts = any(number == id(container.held) for number, _ in counted)
        inside = next((path for path in states.values() if container.path.startswith(f"{path}[")), None)
        if inside is None and not counts:
            continue
        for key, value in entries.items() if isinstance(entries, dict) else enumerate(entries):
            if isinstance(value, torch.Tensor) or (id(container.held), key) in counted:
                left_out.add(container.place(key))
            elif inside is not None and not isinstance(value, dict | list | tuple):
                other.add(inside)
    return left_out | (set(states.values()) - other)


def _place(number: OptimizerPlace) -> tuple[int, Any]:
    return id(number.holder()), number.key[-1]


def guarded_path(sentence: str) -> str:
    """The path that a sentence of `Guards.check` names."""
    found = _PATH.match(sentence)
    return found[1] if found else sentence
