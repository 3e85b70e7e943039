"""The arena map: every storage as a rectangle, its lifetime wide and its bytes high, where the layout puts it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from roam_lab.plan.beside import top_of
from roam_lab.report.units import bytes_text, unit_for
from roam_lab.report.views.axis import Axis, Clock, axis
from roam_lab.report.views.table import Table
from roam_lab.report.views.tensors import Tensors, tensors

if TYPE_CHECKING:
    from roam_lab.plan import Plan

TINY = 1 / 800
"""Storages smaller than this fraction of the arena are less than a pixel high, and are drawn together."""
COLUMNS = 160
"""Cells across the axis in which tiny storages are drawn together."""


@dataclass(frozen=True)
class ArenaView:
    """Rectangle i spans `left[i]` to `right[i]` on the axis and `bottom[i]` to `top[i]` bytes of the arena.

    `storage[i]` is its number, -1 where `count[i]` tiny ones are drawn together. `row_of[storage]`: the rectangle
    that shows it, -1 for none. `external_bytes`: the address above the arena at which the storages begin that ops
    allocate themselves (None: there are none); `external_count`: how many storages ops allocate, wherever they lie.
    """

    name: str
    axis: Axis
    tensors: Tensors
    arena_bytes: int
    layout: str
    external_bytes: int | None
    external_count: int
    left: NDArray[np.float64]
    right: NDArray[np.float64]
    bottom: NDArray[np.int64]
    top: NDArray[np.int64]
    kind: tuple[str, ...]
    storage: NDArray[np.int64]
    count: NDArray[np.int64]
    row_of: NDArray[np.int64]

    @property
    def title(self) -> str:
        return f"Arena map of {self.name}"

    @property
    def unit(self) -> tuple[str, int]:
        """Unit of the address axis and its bytes."""
        return unit_for(max(self.arena_bytes, 1))

    @property
    def alt(self) -> str:
        placed = int(self.count.sum())
        grouped = int(self.count[self.storage < 0].sum())
        alone = self.storage[self.storage >= 0].tolist()
        largest = sorted(alone, key=lambda one: -int(self.tensors.bytes[one]))[:3]
        names = ", ".join(f"{self.tensors.name(one)} {bytes_text(int(self.tensors.bytes[one]))}" for one in largest)
        external = ""
        if self.external_bytes is not None:
            held = bytes_text(self.arena_bytes - self.external_bytes)
            external = f" The upper {held} are allocated by ops themselves (external)."
        elif self.external_count:
            external = f" Of the storages, {self.external_count:,} are allocated by ops themselves (external)."
        return (
            f"{self.title}. {placed:,} storages in an arena of {bytes_text(self.arena_bytes)}, layout {self.layout}, "
            f"predicted; {grouped:,} of less than a pixel are drawn together."
            f"{f' Largest: {names}.' if names else ''}{external}"
        )

    @property
    def table(self) -> Table:
        return self.tensors.table


def arena_view(plan: Plan, *, clock: Clock = "auto", known: Tensors | None = None) -> ArenaView:
    """The arena of `plan`. `known`: its tensors, if they were computed before. Raises InputError for a bare plan."""
    known = known or tensors(plan)
    time = axis(known.graph, plan.order, clock)
    placed = np.flatnonzero((known.offset >= 0) & (known.bytes > 0))
    least = plan.arena_bytes * TINY
    pixel = time.end / 1200
    row_of = np.full(len(known.bytes), -1, np.int64)
    rows: list[tuple[float, float, int, int, str, int, int]] = []
    tiny: dict[tuple[str, int, int, int], list[int]] = {}
    for one in placed.tolist():
        left, right = _span(known, time, one, pixel)
        low, size = int(known.offset[one]), int(known.bytes[one])
        if size >= least:
            row_of[one] = len(rows)
            rows.append((left, right, low, low + size, known.kind[one], one, 1))
        else:
            cell = (int(left / time.end * COLUMNS), int(right / time.end * COLUMNS), int(low / max(4 * least, 1)))
            tiny.setdefault((known.kind[one], *cell), []).append(one)
    rows += _together(known, time, tiny, row_of, len(rows), pixel)
    left_, right_, bottom, top, kind, storage, count = zip(*rows, strict=True) if rows else ((),) * 7
    external = [one for one in placed.tolist() if known.graph.storages[one].external]
    begin = min((int(known.offset[one]) for one in external), default=None)
    own = top_of(known.graph, plan.offsets)
    return ArenaView(
        known.graph.name or "a training step",
        time,
        known,
        plan.arena_bytes,
        plan.layout_strategy,
        None if begin is None or begin < own else begin,
        len(external),
        np.array(left_, float),
        np.array(right_, float),
        np.array(bottom, np.int64),
        np.array(top, np.int64),
        tuple(kind),
        np.array(storage, np.int64),
        np.array(count, np.int64),
        row_of,
    )


def _span(known: Tensors, time: Axis, storage: int, pixel: float) -> tuple[float, float]:
    """Where its lifetime lies on the axis. A lifetime within folded steps alone is drawn one pixel wide."""
    left, right = float(time.edges[known.start[storage]]), float(time.edges[known.end[storage]])
    return (left, right) if right - left >= pixel else (left, left + pixel)


def _together(
    known: Tensors,
    time: Axis,
    tiny: dict[tuple[str, int, int, int], list[int]],
    row_of: NDArray[np.int64],
    first_row: int,
    pixel: float,
) -> Iterator[tuple[float, float, int, int, str, int, int]]:
    """One rectangle around the tiny storages of a cell; a single one keeps its number."""
    for number, ((kind, *_), members) in enumerate(sorted(tiny.items())):
        spans = [_span(known, time, one, pixel) for one in members]
        row_of[members] = first_row + number
        yield (
            min(left for left, _ in spans),
            max(right for _, right in spans),
            int(known.offset[members].min()),
            int((known.offset[members] + known.bytes[members]).max()),
            kind,
            members[0] if len(members) == 1 else -1,
            len(members),
        )
