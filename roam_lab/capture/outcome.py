"""The outcome of a step: what it returns, what it changes in the objects that it reaches, and which tensors it used.

An op log does not tell it: two steps of the same ops may return different tensors, note different numbers, or read
another of two masks.
"""

from __future__ import annotations

import re
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

_NOT_COMPARED = re.compile(r"(optimizer|batch)(?![^.\[])")
"""Paths of what a rehearsal is given other objects for, and is compared apart; "batch" is that of one tensor."""


def outcome_of(
    result: Any, changes: Iterable[Change], tensors: Iterable[tuple[str, torch.Tensor]], serial: Serial
) -> dict[str, tuple[str, str]]:  # fmt: skip
    """`result`: what the step returned; `changes`: since before it; `tensors`: with paths, that it may have used."""
    leaves, structure = pytree.tree_flatten(result)
    found = {"the structure of the result": ("", str(structure))}
    found |= {f"result {index}": ("", _text(leaf, serial)) for index, leaf in enumerate(leaves)}
    for change in changes:
        if not _NOT_COMPARED.match(change.path):
            grown = change.kind == "grown" and isinstance(change.container, list)
            name = f"{change.kind} {change.container_path if grown else change.path}"
            found[_unused(name, found)] = (_text(change.before, serial), _text(change.after, serial))
    for path, tensor in tensors:
        if not _NOT_COMPARED.match(path) and (number := serial(tensor)) is not None:
            found[_unused(f"the tensor {path}", found)] = ("", str(number))
    return found


def other_outcome(then: Outcome, now: Outcome) -> str | None:
    """The first entry in which two outcomes differ; None where they are the same, but for entries that did not begin
    with the same value: counters and means are others in each step."""
    for name in {**then, **now}:
        one, two = then.get(name), now.get(name)
        if one is None or two is None or (one[0] == two[0] and one[1] != two[1]):
            return name
    return None


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
