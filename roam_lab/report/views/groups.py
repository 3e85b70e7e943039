"""Storages by what creates them: one group for each module pattern, operator and kind ("h.*.attn", softmax, output)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roam_lab.ir import Graph, Op
from roam_lab.report.views.places import PHASES, Places

STEP_ITSELF = "loss and step"
"""In place of the module pattern of ops that no module runs."""


@dataclass(frozen=True, slots=True)
class Group:
    """Storages that one operator makes in modules of one pattern, all of one kind."""

    pattern: str
    op: str
    kind: str


@dataclass(frozen=True)
class Groups:
    """`of_storage[storage]`: its index in `groups`, -1 for a storage that no op creates."""

    groups: tuple[Group, ...]
    of_storage: NDArray[np.int64]


def grouped(graph: Graph, known: Places, kinds: Sequence[str]) -> Groups:
    """The groups of `graph` in the sequence in which its ops first make one. `kinds`: of each storage.

    In a graph without modules, phases take their place: the equal parts into which such a graph is cut elsewhere have
    no pattern, so each would be a group of its own.
    """
    numbers: dict[Group, int] = {}
    of_storage = np.full(len(graph.storages), -1, np.int64)
    if any(op.module for op in graph.ops):
        paths = {module: pattern_of(module) for module in set(known.module)}
        patterns = [paths[module] for module in known.module]
    else:
        patterns = [PHASES[phase] for phase in known.phase]
    for storage, maker in enumerate(graph.creator):
        if maker is not None:
            group = Group(patterns[maker], operator_of(graph.ops[maker]), kinds[storage])
            of_storage[storage] = numbers.setdefault(group, len(numbers))
    return Groups(tuple(numbers), of_storage)


def pattern_of(module: str) -> str:
    """A module's path with a star for every numbered part: "h.3.attn" -> "h.*.attn". A path of numbers alone stays as
    it is: the parts of a bare Sequential do not repeat one another, and "*" would be the name of all of them."""
    parts = module.split(".")
    if all(part.isdigit() for part in parts):
        return module
    return ".".join("*" if part.isdigit() else part for part in parts) if module else STEP_ITSELF


def operator_of(op: Op) -> str:
    """The operator without namespace and overload: "aten.addmm.default" -> "addmm"."""
    parts = op.target.split(".")
    return parts[-2] if len(parts) > 2 else parts[-1]
