"""The search for the least capacity: many short depth-first searches of each independent part, each asking for a layout
under one limit, which is the goal or lies above it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from roam_lab.ir import Layout, Lifetime, lifetimes_curve
from roam_lab.layout.canonical_search import kernel
from roam_lab.layout.canonical_search.instance import FIXED, Part, parts
from roam_lab.layout.canonical_search.tree import Tree
from roam_lab.solvers import compiled

MOST_BUFFERS = 5_000
"""A part of more buffers is left as it is: one search alone would take minutes."""

DIVE = 4
"""Nodes per buffer that the shortest search visits."""

PYTHON_SLOWER = 200
"""Without numba the same work takes this many times as long, so the effort is divided by it."""

FIXED_LONGER = 32
"""A search from a fixed ranking visits this many times as many nodes."""

BY_FAILURES = 10_000
"""Nodes of a search whose ranking learns from the failures of those before it."""

FORGETTING = 0.9
"""The factor by which weights of earlier failures shrink after each search."""

GOAL_SEARCHES, RUNG_SEARCHES = 16, 4
"""How many searches one round makes at the goal, and at each of the limits above it (RUNGS)."""

RUNGS = (1 / 16, 1 / 4, 1 / 2)
"""Limits above the goal that are tried, too, as fractions of the distance from the goal up to the best known arena."""


@dataclass(slots=True)
class Effort:
    """What may still be spent: nodes, work (sections of buffers looked at), and time, up to `deadline`
    (time.perf_counter; None: no limit)."""

    nodes: int
    work: int
    deadline: float | None = None

    def spent(self) -> bool:
        late = self.deadline is not None and time.perf_counter() >= self.deadline
        return late or self.nodes <= 0 or self.work <= 0


def luby(index: int) -> int:
    """Entry `index` of the sequence 1 1 2 1 1 2 4 ...: lengths of restarted searches that are never much worse than the
    best fixed length, which is not known (Luby et al. 1993)."""
    index += 1
    while True:
        size = index.bit_length()
        if index == (1 << size) - 1:
            return 1 << (size - 1)
        index -= (1 << (size - 1)) - 1


class Descent:
    """The search for a lower layout of one part. `offsets`: the best layout so far; `height`: its bytes; `floor`: bytes
    below which no layout of the part exists."""

    def __init__(self, lives: Sequence[Lifetime], known: Layout, seed: int) -> None:
        self.part = Part(tuple(lives))
        self.offsets = {life.storage: known.offsets[life.storage] for life in lives}
        self.height = max(self.offsets[life.storage] + life.bytes for life in lives)
        self.floor = int(lifetimes_curve(lives).max())
        self.seed = seed
        self.searched: dict[int, int] = {}
        self.failures: dict[int, NDArray[np.float64]] = {}

    def turn(self, goal: int, effort: Effort, rungs: bool) -> None:
        """One round of searches for a layout of at most `goal` bytes, which may lower `height` or raise `floor`.
        `rungs`: also search at limits above the goal."""
        goal = max(goal, self.floor)
        self._search(goal, GOAL_SEARCHES, effort)
        for rung in RUNGS if rungs else ():
            lowest = max(goal, self.floor)
            if lowest < self.height and not effort.spent():
                self._search(lowest + int((self.height - 1 - lowest) * rung), RUNG_SEARCHES, effort)

    def _search(self, limit: int, searches: int, effort: Effort) -> None:
        """At most `searches` more searches for a layout of at most `limit` bytes."""
        unit = self.part.unit
        for _ in range(searches):
            if effort.spent():
                return
            status, tree = self._try(limit // unit, effort)
            effort.nodes -= tree.nodes
            effort.work -= tree.work
            if status == kernel.FOUND:
                lives = self.part.lives
                self.offsets = {life.storage: int(at) * unit for life, at in zip(lives, tree.found(), strict=True)}
                self.height = max(self.offsets[life.storage] + life.bytes for life in lives)
                return
            if status == kernel.IMPOSSIBLE:
                self.floor = max(self.floor, (limit // unit + 1) * unit)
                return

    def _try(self, limit: int, effort: Effort) -> tuple[int, Tree]:
        """One more search for a layout of at most `limit` units (`Part.unit` bytes). The first ones start from fixed
        rankings, later ones by turns from a random ranking and from one that learns from failures."""
        number = self.searched.get(limit, 0)
        self.searched[limit] = number + 1
        failures = self.failures.setdefault(limit, np.ones(len(self.part.totals)))
        drawn, learns = divmod(number - FIXED, 2)
        nodes = max(1000, DIVE * len(self.part.lives))
        if number < FIXED:
            tree, nodes = Tree(self.part, *self.part.ranking(number, self.seed), limit), nodes * FIXED_LONGER
        elif learns:
            tree = Tree(self.part, self.part.ranking_by_failures(drawn, self.seed, failures), False, limit)
            nodes = BY_FAILURES
        else:
            tree = Tree(self.part, *self.part.ranking(FIXED + drawn, self.seed), limit)
            nodes *= luby(drawn)
        status = tree.explore(min(nodes, effort.nodes), effort.work, effort.deadline)
        if number >= FIXED and learns:
            failed = tree.sections[kernel.FAILED].astype(float)
            self.failures[limit] = FORGETTING * failures + failed / max(1.0, failed.max())
        return status, tree


def lowered(lives: tuple[Lifetime, ...], known: Layout, goal: int, effort: Effort, seed: int, rungs: bool) -> Layout:
    """A layout of at most `goal` bytes if one is found, else the lowest found, `known` at worst.

    `rungs`: where the goal is not met at once, search at limits above it, too. Each round is given to the part whose
    layout is highest. Stops when the goal is met, when a part is proved unable to meet it and is as low as it can be,
    or when `effort` is spent.
    """
    if not compiled.available():
        effort.nodes //= PYTHON_SLOWER
        effort.work //= PYTHON_SLOWER
    descents = [Descent(part, known, seed) for part in parts(lives)]
    for descent in _turns(descents, goal, effort):
        descent.turn(goal, effort, rungs)
    offsets = {storage: offset for descent in descents for storage, offset in descent.offsets.items()}
    height = max((descent.height for descent in descents), default=0)
    return Layout(offsets, height) if height < known.arena_bytes else known


def _turns(descents: Sequence[Descent], goal: int, effort: Effort) -> Iterator[Descent]:
    """Yields the part that is the highest now, until the goal is met or cannot be met, or the effort is spent."""
    for _ in count():
        highest = max(descents, key=lambda descent: descent.height, default=None)
        if highest is None or effort.spent() or highest.height <= max(goal, highest.floor):
            return
        if len(highest.part.lives) > MOST_BUFFERS:
            return
        yield highest
