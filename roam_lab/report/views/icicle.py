"""Bytes alive at one step of an order: module pattern -> operator -> storages, each as wide as its bytes.

`figures/icicle.js` lays out the same in a page, for any step and any zoom.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from roam_lab.report.units import bytes_text
from roam_lab.report.views.groups import Group, grouped
from roam_lab.report.views.look import kind_looks
from roam_lab.report.views.table import Table, Value, listed
from roam_lab.report.views.tensors import Tensors, tensors

if TYPE_CHECKING:
    from roam_lab.plan import Plan

THINNEST = 0.0025
"""Boxes narrower than this fraction of the figure are drawn as one with their small siblings."""
EVERYTHING = -1
"""The node at the top; nothing is zoomed in."""
LEVELS = 4


@dataclass(frozen=True, slots=True)
class Box:
    """`left` to `right` are fractions of the figure's width. `level`: 0 everything, 1 a module pattern, 2 an operator
    in it, 3 a storage.

    `node`: what a click zooms in to: EVERYTHING, a pattern's number, or the number of patterns plus a group's.
    `storage`: the largest in it. `kind`: that of most of its bytes. `count`: storages in it.
    """

    level: int
    left: float
    right: float
    node: int
    storage: int
    kind: str
    bytes: int
    count: int
    label: str


@dataclass(frozen=True)
class IcicleView:
    """`groups` are ordered by pattern, those with the most bytes at `peak_step` first. Boxes have this sequence at
    every step, so that they do not jump while the cursor moves. `pattern[group]`: index in `patterns`;
    `group[storage]`: -1 for none. `step`: the one that title, alt text and table describe.
    """

    name: str
    tensors: Tensors
    patterns: tuple[str, ...]
    groups: tuple[Group, ...]
    pattern: NDArray[np.int64]
    group: NDArray[np.int64]
    peak_step: int
    step: int

    @property
    def title(self) -> str:
        return f"Alive in {self.name}, by module, operator and storage"

    @cached_property
    def boxes(self) -> tuple[Box, ...]:
        """At `step`, nothing zoomed in."""
        return self.at(self.step)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the storages that the step creates, each once."""
        return tuple(dict.fromkeys(group.kind for group in self.groups))

    def head(self, step: int) -> str:
        """The text in the top box: "alive at step 3 of 20, addmm_3: 1.5 MiB in 7 storages"."""
        alive = self.alive(step)
        total = int(self.tensors.bytes[alive].sum())
        order = self.tensors.order
        if not order:
            return "nothing is alive: the step has no ops"
        op = self.tensors.graph.ops[order[step]].name
        return f"alive at step {step + 1:,} of {len(order):,}, {op}: {bytes_text(total)} in {len(alive):,} storages"

    def alive(self, step: int) -> NDArray[np.int64]:
        """The storages that are alive in `step`, ascending."""
        known = self.tensors
        found: NDArray[np.int64] = np.flatnonzero((known.start <= step) & (step < known.end) & (known.start >= 0))
        return found

    def at(self, step: int, focus: int = EVERYTHING) -> tuple[Box, ...]:
        """The boxes at `step` with node `focus` as wide as the figure; level by level, from left to right."""
        members: dict[int, list[int]] = {}
        for storage in self.alive(step).tolist():
            if self.tensors.bytes[storage]:
                members.setdefault(int(self.group[storage]), []).append(storage)
        everything = [storage for found in members.values() for storage in found]
        boxes = [self._box(0, 0.0, 1.0, EVERYTHING, everything, self.head(step))]
        first = len(self.patterns)
        zoomed = focus if focus < first else int(self.pattern[focus - first])
        by_pattern: dict[int, list[int]] = {}
        for group in sorted(members):
            by_pattern.setdefault(int(self.pattern[group]), []).append(group)
        shown = [number for number in sorted(by_pattern) if zoomed in (EVERYTHING, number)]
        patterns = [(one, [s for group in by_pattern[one] for s in members[group]]) for one in shown]
        level_1 = self._level(1, 0.0, 1.0, [(node, found, self.patterns[node]) for node, found in patterns])
        level_2: list[Box] = []
        level_3: list[Box] = []
        for outer in level_1:
            if outer.node == EVERYTHING:
                continue
            inner = [group for group in by_pattern[outer.node] if focus < first or group == focus - first]
            named = [(first + one, members[one], self._words(one, len(members[one]))) for one in inner]
            level_2 += self._level(2, outer.left, outer.right, named)
        for outer in level_2:
            if outer.node != EVERYTHING:
                found = members[outer.node - first]
                level_3 += self._level(3, outer.left, outer.right, [(outer.node, [s], self.op(s)) for s in found])
        return (*boxes, *level_1, *level_2, *level_3)

    def op(self, storage: int) -> str:
        """The name of the op that creates it."""
        maker = self.tensors.graph.creator[storage]
        return "" if maker is None else self.tensors.graph.ops[maker].name

    def _words(self, group: int, count: int) -> str:
        return f"{self.groups[group].op} ×{count:,}" if count > 1 else self.groups[group].op

    def _level(self, level: int, left: float, right: float, named: list[tuple[int, list[int], str]]) -> list[Box]:
        """Boxes side by side from `left` to `right`; those that are too narrow are drawn as one at the end."""
        sizes = [int(self.tensors.bytes[found].sum()) for _, found, _ in named]
        scale = (right - left) / max(sum(sizes), 1)
        boxes, small, many = [], [], 0
        for (node, found, label), size in zip(named, sizes, strict=True):
            if size * scale < THINNEST and len(named) > 1:
                small += found
                many += 1
                continue
            boxes.append(self._box(level, left, left + size * scale, node, found, label))
            left = boxes[-1].right
        if small:
            boxes.append(self._box(level, left, right, EVERYTHING, small, f"{many:,} smaller"))
        return boxes

    def _box(self, level: int, left: float, right: float, node: int, found: list[int], label: str) -> Box:
        sizes = self.tensors.bytes
        by_kind: dict[str, int] = {}
        for storage in found:
            by_kind[self.tensors.kind[storage]] = by_kind.get(self.tensors.kind[storage], 0) + int(sizes[storage])
        kind = max(kind_looks(by_kind), key=lambda one: by_kind[one], default="unknown")
        largest = max(found, key=lambda storage: (int(sizes[storage]), -storage), default=-1)
        return Box(level, left, right, node, largest, kind, sum(by_kind.values()), len(found), label)

    @property
    def alt(self) -> str:
        names = []
        for box in sorted((box for box in self.boxes if box.level == 2), key=lambda box: -box.bytes):
            group = box.node - len(self.patterns)
            place = f"{self.patterns[self.pattern[group]]} " if group >= 0 else ""
            names.append(f"{place}{box.label} {bytes_text(box.bytes)} ({box.kind})")
        return f"{self.title}, predicted. {self.head(self.step).capitalize()}: {listed(names, 5) or 'nothing'}."

    @property
    def table(self) -> Table:
        """Every group alive at `step`, largest first."""
        alive = self.alive(self.step)
        rows: list[tuple[Value, ...]] = []
        for number in np.unique(self.group[alive]).tolist():
            found = alive[self.group[alive] == number]
            size, group = int(self.tensors.bytes[found].sum()), self.groups[number]
            rows.append((group.pattern, group.op, group.kind, len(found), size, bytes_text(size)))
        rows.sort(key=lambda row: (-int(str(row[4])), row[:3]))
        columns = ("module pattern", "operator", "kind", "storages", "bytes", "size")
        return Table(f"{self.title}; {self.head(self.step)}, predicted", columns, tuple(rows))


def icicle_view(plan: Plan, step: int | None = None, known: Tensors | None = None) -> IcicleView:
    """What is alive in `step` of the plan's order, from 0; None: at its peak. `known`: its tensors, if they were
    computed before. Raises InputError for a bare plan."""
    known = known or tensors(plan)
    found = grouped(known.graph, known.places, known.kind)
    live = known.live_bytes
    peak = int(live.argmax()) if len(live) else 0
    there = (known.start <= peak) & (peak < known.end) & (known.start >= 0)
    sums = np.zeros((len(found.groups), 2), np.int64)
    held = found.of_storage >= 0
    np.add.at(sums[:, 0], found.of_storage[held], (known.bytes * there)[held])
    np.add.at(sums[:, 1], found.of_storage[held], known.bytes[held])
    totals: dict[str, list[int]] = {}
    for group, size in zip(found.groups, sums.tolist(), strict=True):
        total = totals.setdefault(group.pattern, [0, 0])
        total[0] += size[0]
        total[1] += size[1]
    patterns = sorted(totals, key=lambda name: (-totals[name][0], -totals[name][1], name))
    place = {name: number for number, name in enumerate(patterns)}

    def rank(number: int) -> tuple[int, int, int, int]:
        return place[found.groups[number].pattern], -int(sums[number, 0]), -int(sums[number, 1]), number

    ranked = sorted(range(len(found.groups)), key=rank)
    groups = tuple(found.groups[number] for number in ranked)
    renumbered = np.full(len(ranked) + 1, -1, np.int64)  # the last for storages without a group
    renumbered[ranked] = np.arange(len(ranked))
    return IcicleView(
        known.graph.name or "a training step",
        known,
        tuple(patterns),
        groups,
        np.array([place[group.pattern] for group in groups], np.int64),
        renumbered[found.of_storage],
        peak,
        peak if step is None else min(max(step, 0), max(len(plan.order) - 1, 0)),
    )
