"""Every storage of a planned step, for all figures: its name, module, lifetime and address."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from roam_lab.ir import Graph, lifetimes, live_curve
from roam_lab.report.graphs import graph_of
from roam_lab.report.units import bytes_text, exact_text
from roam_lab.report.views.needs import Needs, needs
from roam_lab.report.views.places import Places, kinds, places
from roam_lab.report.views.table import Table

if TYPE_CHECKING:
    from roam_lab.plan import Plan

MOST_ROWS = 1500
"""Most rows of the table: for a very large step it would be larger than the figures."""


@dataclass(frozen=True)
class Tensors:
    """Columns over all storages of `graph`, by storage number. Lifetimes are half-open intervals of steps of `order`,
    from 0; -1: never created. Texts count steps from 1, and include the last one.

    `offset` in the arena in bytes, -1 where the plan gives none.
    """

    graph: Graph
    order: tuple[int, ...]
    bytes: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    offset: NDArray[np.int64]
    places: Places

    @cached_property
    def kind(self) -> tuple[str, ...]:
        """Kind of each storage: inferred if no storage of the graph has one, "unknown" if others have one."""
        return kinds(self.graph, self.places)

    @cached_property
    def live_bytes(self) -> NDArray[np.int64]:
        """Bytes alive in each step of `order`."""
        return live_curve(self.graph, self.order)

    @cached_property
    def needs(self) -> Needs:
        """Which ops need each storage, and what it would cost to make it again."""
        return needs(self.graph, self.order)

    def op(self, storage: int) -> str:
        """Name and operator of the op that creates it: "addmm_3 (aten.addmm.default)"; "" if none does."""
        creator = self.graph.creator[storage]
        return "" if creator is None else f"{self.graph.ops[creator].name} ({self.graph.ops[creator].target})"

    def module(self, storage: int) -> str:
        """Module of the op that creates it, as captured or inferred; "" for the model itself."""
        creator = self.graph.creator[storage]
        return "" if creator is None else self.places.module[creator]

    def source(self, storage: int) -> str:
        """The user's line ("file:line") that creates it; "" where it was not captured."""
        creator = self.graph.creator[storage]
        return "" if creator is None else self.graph.ops[creator].source or ""

    def name(self, storage: int) -> str:
        """A short name: its op and that op's module."""
        creator = self.graph.creator[storage]
        if creator is None:
            return f"storage {storage}"
        return " · ".join(part for part in (self.graph.ops[creator].name, self.module(storage)) if part)

    def card(self, storage: int) -> str:
        """One line about a selected storage, the same in every figure."""
        size = int(self.bytes[storage])
        parts = [f"storage {storage}", self.kind[storage], f"{bytes_text(size)} ({exact_text(size)})"]
        parts += [part for part in (self.module(storage), self.source(storage), self.op(storage)) if part]
        if self.start[storage] >= 0:
            parts.append(f"steps {self.start[storage] + 1:,} to {self.end[storage]:,}")
        if self.offset[storage] >= 0:
            parts.append(f"offset {self.offset[storage]:,}")
        return " · ".join(parts)

    @property
    def table(self) -> Table:
        """Every storage that takes memory, largest first; of a long step the MOST_ROWS largest."""
        columns = ("storage", "kind", "bytes", "module", "source", "op", "first step", "last step", "offset, bytes")
        shown = sorted(np.flatnonzero(self.start >= 0).tolist(), key=lambda storage: -int(self.bytes[storage]))
        left_out = len(shown) - MOST_ROWS
        rows = tuple(
            (
                storage,
                self.kind[storage],
                int(self.bytes[storage]),
                self.module(storage),
                self.source(storage),
                self.op(storage),
                int(self.start[storage]) + 1,
                int(self.end[storage]),
                int(self.offset[storage]) if self.offset[storage] >= 0 else None,
            )
            for storage in shown[:MOST_ROWS]
        )
        words = f"; the {left_out:,} smallest are left out" if left_out > 0 else ""
        return Table(f"Storages of {self.graph.name or 'the step'}, predicted{words}", columns, rows)


def tensors(plan: Plan) -> Tensors:
    """The storages of `plan`. Raises InputError for a bare plan."""
    graph = graph_of(plan)
    count = len(graph.storages)
    start, end, offset = (np.full(count, -1, np.int64) for _ in range(3))
    for life in lifetimes(graph, plan.order):
        start[life.storage], end[life.storage] = life.start, life.end
    for storage, place in plan.offsets.items():
        if 0 <= storage < count and start[storage] >= 0:
            offset[storage] = place
    sizes = np.array([storage.bytes for storage in graph.storages], np.int64)
    return Tensors(graph, tuple(plan.order), sizes, start, end, offset, places(graph))
