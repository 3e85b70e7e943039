"""The model's modules as a tree to fold: the ops and bytes of each, and what it saves for later phases.

Repeated siblings (`h.0` to `h.11`) form a group ("h ×12"), and many of them groups of groups, so that no module opens
into more than a screenful. Ops that a module runs itself, not in a child, form a leaf "(own ops)".
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roam_lab.ir import Graph, Origin, lifetimes, live_peak
from roam_lab.ir.rewritten import repeated
from roam_lab.report.views.places import Places, places

OWN = "(own ops)"
MOST_CHILDREN = 16
PART = 12
"""Children of each part into which too many siblings are split."""
MOST_DEPTH = 32
"""Levels of a module's path that the tree has; deeper modules count as their ancestor."""
Three = tuple[int, int, int]
"""One number for each of forward, backward, update."""


@dataclass(frozen=True, slots=True)
class Module:
    """A node of the tree. `children` empty: a leaf, which has ops itself. `repeats`: modules in a group, else 1.

    By phase: `ops`; `bytes` of the storages that they create; `kept`, those of them that a later phase touches;
    `held`, those of them alive at the planned peak. `largest`: the largest storage created in each phase, -1 for none.
    `again`: ops that run again; `moves`: those that move storages to the host or back.
    """

    label: str
    path: str
    parent: int
    children: tuple[int, ...]
    repeats: int
    ops: Three
    bytes: Three
    kept: Three
    held: Three
    largest: Three
    again: Three = (0, 0, 0)
    moves: Three = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Kept:
    """Bytes that one leaf creates in one phase and another leaf uses last in a later one."""

    from_leaf: int
    from_phase: int
    to_leaf: int
    to_phase: int
    bytes: int
    largest: int


@dataclass(frozen=True)
class ModuleTree:
    """`nodes[0]` is the model, parents come before their children. `leaf_of_op[op]`: the leaf that runs it.

    `peak`: leaf and phase of the op that runs at the planned peak, None without ops. `cell_of_storage[storage]`: three
    times the leaf that creates it plus the phase in which it does, -1 for none.
    """

    name: str
    nodes: tuple[Module, ...]
    kept: tuple[Kept, ...]
    leaf_of_op: NDArray[np.int64]
    places: Places
    peak: tuple[int, int] | None
    cell_of_storage: NDArray[np.int64]


class _Draft:
    """A module while the tree is being built."""

    def __init__(self, label: str, home: str, path: str) -> None:
        self.label, self.home, self.path = label, home, path
        self.children: dict[str, _Draft] = {}
        self.own: list[int] = []
        self.repeats = 1
        self.targets: list[str] = []

    @property
    def first(self) -> int:
        """The first op of this module and its children: siblings are sorted by it."""
        return min([*self.own[:1], *(child.first for child in self.children.values())], default=0)


def module_tree(
    graph: Graph, order: Sequence[int], known: Places | None = None, origins: Sequence[Origin] = ()
) -> ModuleTree:
    """The tree of `graph`'s modules, with the peak of `order` marked. `known`: its places, if computed before;
    `origins`: of each op, where the graph was rewritten."""
    known = known or places(graph)
    root = _Draft(graph.name or "model", "", "")
    for index, path in enumerate(known.module):
        node = root
        for part in path.split(".")[:MOST_DEPTH] if path else ():
            node = node.children.setdefault(part, _Draft(part, node.path, _joined(node.path, part)))
        node.own.append(index)
        if known.phase[index] == 0:
            node.targets.append(graph.ops[index].target)
    _tidy(root)
    return _measure(graph, order, known, root, origins)


def _tidy(node: _Draft) -> None:
    """Move own ops into a leaf, merge only children with their parent, and group repeated siblings; deepest first."""
    stack, below = [node], []
    while stack:
        below.append(stack.pop())
        stack.extend(below[-1].children.values())
    for draft in reversed(below):
        if draft.own and draft.children:
            own = _Draft(OWN, draft.path, draft.path)
            own.own, draft.own = draft.own, []
            draft.children[OWN] = own
        children = _grouped(sorted(draft.children.values(), key=lambda child: child.first))
        draft.children = {str(number): child for number, child in enumerate(children)}
        if len(children) == 1:
            only = children[0]
            draft.label = f"{draft.label}.{only.label}" if draft is not node else draft.label
            draft.path, draft.children, draft.own, draft.repeats = only.path, only.children, only.own, only.repeats
            draft.targets = only.targets


def _grouped(children: list[_Draft]) -> list[_Draft]:
    """Group neighbours that repeat; where too many are still left, split them into parts."""
    runs: list[list[_Draft]] = []
    for child in children:
        if runs and _repeat(runs[-1][-1], child):
            runs[-1].append(child)
        else:
            runs.append([child])
    found = [_group(run) if len(run) > 1 else run[0] for run in runs]
    return _parted(found)


def _repeat(one: _Draft, other: _Draft) -> bool:
    """Numbered siblings with the same children; without children, with the same forward operators."""
    numbered = one.label.split(".")[0].isdigit() and other.label.split(".")[0].isdigit()
    if not numbered or bool(one.children) != bool(other.children):
        return False
    return _shape(one) == _shape(other) if one.children else one.targets == other.targets


def _group(run: list[_Draft]) -> _Draft:
    """Repeated siblings as one node, split into parts where they are many."""
    first, last = run[0].label.split(".")[0], run[-1].label.split(".")[0]
    group = _Draft(f"{first}–{last} ×{len(run)}", run[0].home, run[0].home)
    group.repeats = len(run)
    if len(run) > MOST_CHILDREN:
        run = [_group(part) if len(part) > 1 else part[0] for part in _slices(run)]
    group.children = {str(number): child for number, child in enumerate(run)}
    return group


def _parted(children: list[_Draft]) -> list[_Draft]:
    """Too many children of which no two are alike, as nodes that name their first and last child."""
    if len(children) <= MOST_CHILDREN:
        return children
    parts = []
    for part in _slices(children):
        if len(part) == 1:
            parts += part
            continue
        node = _Draft(f"{part[0].label} … {part[-1].label}", part[0].home, part[0].home)
        node.children = {str(number): child for number, child in enumerate(_parted(part))}
        parts.append(node)
    return parts


def _slices(values: list[_Draft]) -> list[list[_Draft]]:
    """Parts of PART (or PART times PART ...) values each, so that there are not too many parts."""
    size = PART
    while math.ceil(len(values) / size) > MOST_CHILDREN:
        size *= PART
    return [values[start : start + size] for start in range(0, len(values), size)]


def _shape(draft: _Draft) -> tuple[object, ...]:
    """What makes siblings repeated: the same children, by name and shape. Their own labels do not count."""
    return tuple((child.label, _shape(child)) for child in draft.children.values())


def _measure(graph: Graph, order: Sequence[int], known: Places, root: _Draft, origins: Sequence[Origin]) -> ModuleTree:
    drafts: list[tuple[_Draft, int]] = []
    stack = [(root, -1)]
    while stack:
        draft, parent = stack.pop()
        stack.extend((child, len(drafts)) for child in reversed(list(draft.children.values())))
        drafts.append((draft, parent))
    leaf_of_op = np.zeros(len(graph.ops), np.int64)
    for number, (draft, _) in enumerate(drafts):
        leaf_of_op[draft.own] = number
    count = len(drafts)
    ops, made, kept, held, again, moves = (np.zeros((count, 3), np.int64) for _ in range(6))
    largest = np.full((count, 3), -1, np.int64)
    for index, leaf in enumerate(leaf_of_op.tolist()):
        ops[leaf, known.phase[index]] += 1
    repeats = repeated(origins)
    for index, origin in enumerate(origins):
        place = (leaf_of_op[index], known.phase[index])
        again[place] += index in repeats
        moves[place] += origin.copies is not None
    alive: set[int] = set()
    peak_place = None
    if order:
        peak = live_peak(graph, order)
        peak_place = (int(leaf_of_op[order[peak.step]]), known.phase[order[peak.step]])
        alive = {life.storage for life in lifetimes(graph, order) if life.start <= peak.step < life.end}
    edges: dict[tuple[int, int, int, int], list[int]] = defaultdict(list)
    for storage, info in enumerate(graph.storages):
        creator = graph.creator[storage]
        if creator is None:
            continue
        leaf, phase = int(leaf_of_op[creator]), known.phase[creator]
        made[leaf, phase] += info.bytes
        held[leaf, phase] += info.bytes if storage in alive else 0
        if largest[leaf, phase] < 0 or info.bytes > graph.storages[largest[leaf, phase]].bytes:
            largest[leaf, phase] = storage
        last = max(graph.users[storage], key=lambda user: (known.phase[user], user))
        if known.phase[last] > phase and info.bytes and creator not in repeats:
            kept[leaf, phase] += info.bytes
            edges[leaf, phase, int(leaf_of_op[last]), known.phase[last]].append(storage)
    _sum_up(drafts, (ops, made, kept, held, again, moves), largest, graph)
    children: list[list[int]] = [[] for _ in drafts]
    for number, (_, parent) in enumerate(drafts):
        if parent >= 0:
            children[parent].append(number)
    nodes = tuple(
        Module(
            _label(draft),
            draft.path,
            parent,
            tuple(children[number]),
            draft.repeats,
            *(_three(values[number]) for values in (ops, made, kept, held, largest, again, moves)),
        )
        for number, (draft, parent) in enumerate(drafts)
    )
    bundles = []
    for key, storages in sorted(edges.items()):
        sizes = [graph.storages[storage].bytes for storage in storages]
        bundles.append(Kept(*key, sum(sizes), storages[int(np.argmax(sizes))]))
    cells = [-1 if op is None else 3 * int(leaf_of_op[op]) + known.phase[op] for op in graph.creator]
    return ModuleTree(
        graph.name or "a training step", nodes, tuple(bundles), leaf_of_op, known, peak_place, np.array(cells, np.int64)
    )


def _label(draft: _Draft) -> str:
    """A label that is only a number gets the name of its parent, own ops that of their module."""
    if draft.label == OWN:
        return f"{draft.path.rpartition('.')[2] or 'model'} {OWN}"
    if not draft.label[:1].isdigit():
        return draft.label
    return _joined(draft.home.rpartition(".")[2], draft.label)


def _joined(path: str, part: str) -> str:
    return f"{path}.{part}" if path else part


def _three(values: NDArray[np.int64]) -> Three:
    return int(values[0]), int(values[1]), int(values[2])


def _sum_up(
    drafts: list[tuple[_Draft, int]],
    sums: tuple[NDArray[np.int64], ...],
    largest: NDArray[np.int64],
    graph: Graph,
) -> None:
    """Compute parents' numbers from their children's, deepest first."""
    sizes = [storage.bytes for storage in graph.storages]
    for number in reversed(range(1, len(drafts))):
        parent = drafts[number][1]
        for values in sums:
            values[parent] += values[number]
        for phase in range(3):
            mine, best = int(largest[number, phase]), int(largest[parent, phase])
            if mine >= 0 and (best < 0 or sizes[mine] >= sizes[best]):
                largest[parent, phase] = mine
