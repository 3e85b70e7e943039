"""The outcome of a step: what it returns, what it changes in the objects that it reaches, and which tensors it used.

An op log does not tell it: two steps of the same ops may return different tensors, note different numbers, or read
another of two masks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from roam_lab.capture.sources.containers import MISSING
from roam_lab.capture.sources.python_state import Change
from roam_lab.capture.sources.values import is_plain
from roam_lab.capture.torch_internals import pytree

Outcome = Mapping[str, tuple[str, str]]
"""Name of a result, a changed entry or a tensor -> what was there before the step, and after it, as texts."""

Serial = Callable[[torch.Tensor], int | None]
"""The number, in an op log, of the storage of a tensor; None for one that no op used."""

_NOT_COMPARED = ("optimizer.", "optimizer[", "batch.", "batch[")
"""Beginnings of the paths of what a rehearsal is given other objects for, and is compared apart."""


def outcome_of(
    result: Any, changes: Iterable[Change], tensors: Iterable[tuple[str, torch.Tensor]], serial: Serial
) -> dict[str, tuple[str, str]]:  # fmt: skip
    """`result`: what the step returned; `changes`: since before it; `tensors`: with paths, that it may have used."""
    leaves, structure = pytree.tree_flatten(result)
    found = {"the structure of the result": ("", str(structure))}
    found |= {f"result {index}": ("", _text(leaf, serial)) for index, leaf in enumerate(leaves)}
    for change in changes:
        if not change.path.startswith(_NOT_COMPARED):
            grown = change.kind == "grown" and isinstance(change.container, list)
            name = f"{change.kind} {change.container_path if grown else change.path}"
            found[_unused(name, found)] = (_text(change.before, serial), _text(change.after, serial))
    for path, tensor in tensors:
        if not path.startswith(_NOT_COMPARED) and (number := serial(tensor)) is not None:
            found[_unused(f"the tensor {path}", found)] = ("", str(number))
    return found


def same_outcome(then: Outcome, now: Outcome) -> bool:
    """Whether two outcomes are the same, but for entries that did not begin with the same value: counters and means are
    others in each step."""
    if then.keys() != now.keys():
        return False
    return all(one[0] != now[name][0] or one[1] == now[name][1] for name, one in then.items())


def _text(value: Any, serial: Serial) -> str:
    if isinstance(value, torch.Tensor):
        form = [value.dtype, tuple(value.shape)]
        if value.layout is torch.strided:
            form += [value.stride(), value.storage_offset()]
        return f"tensor {serial(value)} {form}"
    if is_plain(value) or value is MISSING:
        return f"{type(value).__name__} {value!r}"
    if type(value) in (tuple, list):
        return f"{type(value).__name__} ({', '.join(_text(one, serial) for one in value)})"
    return f"a {type(value).__module__}.{type(value).__qualname__}"


def _unused(name: str, found: Mapping[str, Any]) -> str:
    """Several entries of a list have one name; they are told apart by a number, in their sequence."""
    count, free = 1, name
    while free in found:
        count, free = count + 1, f"{name} ({count + 1})"
    return free
