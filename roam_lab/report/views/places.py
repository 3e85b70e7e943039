"""The phase and the module of each op, inferred where a graph does not have them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from roam_lab.ir import Graph

PHASES = ("forward", "backward", "update")
BY_REWRITING = ("recomputed", "offloaded", "scratch")
"""Kinds of storages that rewriting adds, also to a graph whose own storages have no kinds."""
CHUNKS = 12
"""The forward ops of a graph without modules are cut into so many parts, and each of these again."""


@dataclass(frozen=True, slots=True)
class Places:
    """For each op a phase (its index in PHASES) and a module path, parts split by dots, "" for the model itself.

    `guessed` says in words what was inferred for the whole graph, "" if nothing was.
    """

    phase: tuple[int, ...]
    module: tuple[str, ...]
    guessed: str


def places(graph: Graph) -> Places:
    """Phase and module of every op of `graph`.

    An op of backward or update without a module gets the module of the op that made the largest storage it touches,
    of those whose module is known; an update's op that touches none gets the module of an op that needs it. A graph
    without phases is split by the names of its operators, one without modules into equal parts of its forward ops.
    """
    guessed = []
    if any(op.phase in PHASES for op in graph.ops):
        phase = _given_phases(graph)
    else:
        phase = _phases_by_name(graph)
        guessed.append("phases guessed from the operators' names")
    if any(op.module for op in graph.ops):
        module: list[str | None] = [op.module or (None if phase[index] else "") for index, op in enumerate(graph.ops)]
    else:
        module = _modules_by_position(phase)
        guessed.append("no modules captured: forward ops cut into even parts")
    if graph.storages and not _tells_kinds(graph):
        guessed.append("kinds of storages inferred from phases")
    _follow_storages(graph, module)
    return Places(tuple(phase), tuple(path or "" for path in module), "; ".join(guessed) if graph.ops else "")


def kinds(graph: Graph, known: Places) -> tuple[str, ...]:
    """Kind of each storage; in a graph without kinds, by phases: what backward uses of forward is an activation,
    what the update uses of backward a gradient, what outlives the step an "output", the rest temporary."""
    if _tells_kinds(graph):
        return tuple(storage.kind or "unknown" for storage in graph.storages)
    found = []
    for number, storage in enumerate(graph.storages):
        if storage.kind:
            found.append(storage.kind)
            continue
        maker = graph.creator[number]
        born = None if maker is None else known.phase[maker]
        met = {known.phase[user] for user in graph.users[number]}
        if storage.output:
            found.append("output")
        elif born == 0 and 1 in met:
            found.append("activation")
        else:
            found.append("gradient" if born == 1 and 2 in met else "temporary")
    return tuple(found)


def _tells_kinds(graph: Graph) -> bool:
    return any(storage.kind and storage.kind not in BY_REWRITING for storage in graph.storages)


def _given_phases(graph: Graph) -> list[int]:
    """The phase that each op has; an op without a known phase has that of the op before it."""
    phases, current = [], 0
    for op in graph.ops:
        current = PHASES.index(op.phase) if op.phase in PHASES else current
        phases.append(current)
    return phases


def _phases_by_name(graph: Graph) -> list[int]:
    named = [index for index, op in enumerate(graph.ops) if "backward" in op.target]
    first, last = (named[0], named[-1]) if named else (len(graph.ops), len(graph.ops))
    return [0 if index < first else 1 if index <= last else 2 for index in range(len(graph.ops))]


def _modules_by_position(phase: list[int]) -> list[str | None]:
    forward = [index for index, number in enumerate(phase) if number == 0]
    module: list[str | None] = [None] * len(phase)
    size = max(math.ceil(len(forward) / CHUNKS), 1)
    small = max(math.ceil(size / CHUNKS), 1)
    for position, index in enumerate(forward):
        outer, inner = position // size * size, position // small * small
        inner = max(inner, outer)
        outer_end = min(outer + size, len(forward)) - 1
        inner_end = min(position // small * small + small - 1, outer_end)
        module[index] = f"ops {forward[outer]}–{forward[outer_end]}.ops {forward[inner]}–{forward[inner_end]}"
    return module


def _follow_storages(graph: Graph, module: list[str | None]) -> None:
    """Fill in each None: first by what the op touches, then by the ops that need it, then by the ops that it needs."""
    for index, op in enumerate(graph.ops):
        if module[index] is None:
            known = [
                (graph.storages[storage].bytes, -maker, found)
                for storage in op.touches
                if (maker := graph.creator[storage]) is not None and (found := module[maker])
            ]
            module[index] = max(known)[2] if known else None
    for index in reversed(range(len(graph.ops))):
        if module[index] is None:
            module[index] = next((found for after in graph.followers[index] if (found := module[after])), None)
    for index, op in enumerate(graph.ops):
        if module[index] is None:
            module[index] = next((found for before in reversed(op.after) if (found := module[before])), None)
