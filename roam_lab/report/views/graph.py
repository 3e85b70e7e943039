"""The computation graph, folded: forward runs down the left column, backward up beside it, update at the right.

A cell is one module in one phase. Bands between cells are bytes that one phase saves for a later one; their height is
proportional to the bytes. Everything lies on a grid: rows at y = 0, -1, -2, ..., columns at COLUMNS.
`figures/fold.js` lays out the same.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from roam_lab.report.graphs import graph_of
from roam_lab.report.units import bytes_text
from roam_lab.report.views.folding import Opened, first_opened, rows
from roam_lab.report.views.modules import ModuleTree, module_tree
from roam_lab.report.views.places import PHASES
from roam_lab.report.views.table import Table, Value, listed

if TYPE_CHECKING:
    from roam_lab.plan import Plan

COLUMNS = ((0.0, 1.0), (1.7, 2.7), (3.2, 3.9))
"""Left and right edge of forward, backward and update."""
HALF = 0.38
"""Half a cell's height, of a row that is 1 high."""
BAND = 0.5
"""Height of the band with the most bytes."""
THINNEST = 0.012
MOST_BANDS = 80
STEPS = 12
"""Points on each side of a band that changes rows."""
BRACKET = 0.15
"""Width of the column with the name of an open module."""
FLOW = 0.1
"""Where the line of the flow crosses a cell, as a fraction of its width: beside the text."""
AGAIN, MOVES = "↻", "⇅"
"""Marks in a cell before the number of ops that run again, and of ops that move storages to the host or back."""
KEEPS = " · keeps "
"""Separates the ops of a cell from the bytes that it saves for a later phase."""
TURN = 0.26
"""How far below the last row the flow turns from forward to backward."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Module `node` in `phase`. `label`, `sub`: its two lines; `storage`: the largest that it creates, -1 for none."""

    node: int
    phase: int
    row: int
    label: str
    sub: str
    peak: bool
    storage: int


@dataclass(frozen=True, slots=True)
class Band:
    """Bytes that `phase` saves in one cell for another, as a closed outline."""

    phase: int
    x: tuple[float, ...]
    y: tuple[float, ...]
    bytes: int
    text: str
    storage: int


@dataclass(frozen=True, slots=True)
class Flow:
    """A line from cell to cell, forward down and backward up. `up`: whether the arrowhead at its end points up."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    up: bool


@dataclass(frozen=True, slots=True)
class Bracket:
    """An open module: a bar beside its rows, `level` columns left of them; a click on it folds the module."""

    node: int
    level: int
    first: int
    last: int
    label: str


@dataclass(frozen=True)
class GraphView:
    """What is visible of `tree` with `opened` open. `left_out_bytes`: in bands too many to draw."""

    tree: ModuleTree
    opened: Opened
    rows: tuple[int, ...]
    cells: tuple[Cell, ...]
    bands: tuple[Band, ...]
    brackets: tuple[Bracket, ...]
    flows: tuple[Flow, ...]
    left_out_bytes: int
    peak_bytes: int

    @property
    def title(self) -> str:
        return f"Computation graph of {self.tree.name}, folded by module"

    def row_of(self, node: int) -> int:
        """The row that shows `node` or the ancestor it is folded into, -1 for an open node."""
        return _row_of(self.tree, self.rows)[node]

    def kept_bytes(self, from_phase: int, to_phase: int) -> int:
        """All bytes that one phase makes and a later phase uses last."""
        return sum(kept.bytes for kept in self.tree.kept if (kept.from_phase, kept.to_phase) == (from_phase, to_phase))

    @property
    def rewritten(self) -> str:
        """What the marks in the cells mean, and their totals; "" where nothing runs again or is moved."""
        root = self.tree.nodes[0]
        again, moves = sum(root.again), sum(root.moves)
        sentences = [f"{AGAIN} {again:,} ops run again in the backward pass"] if again else []
        sentences += [f"{MOVES} {moves:,} moves to the host and back"] if moves else []
        return "; ".join(sentences)

    @property
    def alt(self) -> str:
        root = self.tree.nodes[0]
        heavy = sorted(self.rows, key=lambda number: -sum(self.tree.nodes[number].kept))
        names = [f"{self.tree.nodes[one].label} {bytes_text(sum(self.tree.nodes[one].kept))}" for one in heavy]
        peak = next((cell for cell in self.cells if cell.peak), None)
        where = f" The planned peak lies in {peak.label}, {PHASES[peak.phase]}." if peak else ""
        guess = f" ({self.tree.places.guessed})" if self.tree.places.guessed else ""
        return (
            f"{self.title}{guess}: {sum(root.ops):,} ops in {len(self.rows):,} visible modules; forward "
            f"{root.ops[0]:,} ops, backward {root.ops[1]:,}, update {root.ops[2]:,}. Kept, predicted: "
            f"{bytes_text(self.kept_bytes(0, 1))} from forward to backward, {bytes_text(self.kept_bytes(1, 2))} from "
            f"backward to update; the most by {listed(names, 4) or 'none'}.{where}"
            f"{f' {self.rewritten}.' if self.rewritten else ''}"
        )

    @property
    def table(self) -> Table:
        columns = (
            *("module", "phase", "ops", "run again", "bytes created", "bytes kept for later"),
            *("bytes held at the peak", "peak"),
        )
        found: list[tuple[Value, ...]] = []
        for cell in self.cells:
            node, phase = self.tree.nodes[cell.node], cell.phase
            figures = (node.ops[phase], node.again[phase], node.bytes[phase], node.kept[phase], node.held[phase])
            found.append((cell.label, PHASES[phase], *figures, "peak" if cell.peak else ""))
        return Table(f"{self.title}, predicted", columns, tuple(found))


def graph_view(plan: Plan, opened: Opened | None = None, tree: ModuleTree | None = None) -> GraphView:
    """The folded graph of `plan`; `opened` None: those modules are open that have the most bytes. Raises
    InputError for a bare plan."""
    tree = tree or module_tree(graph_of(plan), plan.order, origins=plan.origins)
    return view_of(tree, first_opened(tree) if opened is None else opened, plan.peak_bytes)


def view_of(tree: ModuleTree, opened: Opened, peak_bytes: int) -> GraphView:
    """What is visible of `tree` with `opened` open."""
    seen = rows(tree, opened)
    row_of = _row_of(tree, seen)
    peak = None if tree.peak is None else (row_of[tree.peak[0]], tree.peak[1])
    cells = [
        Cell(
            number,
            phase,
            row,
            tree.nodes[number].label,
            sub(tree, number, phase),
            (row, phase) == peak,
            tree.nodes[number].largest[phase],
        )
        for row, number in enumerate(seen)
        for phase in range(3)
        if tree.nodes[number].ops[phase]
    ]
    bands, left_out = _bands(tree, row_of, seen)
    brackets = _brackets(tree, seen)
    flows = tuple(_flows(cells))
    return GraphView(tree, tuple(opened), tuple(seen), tuple(cells), bands, brackets, flows, left_out, peak_bytes)


def sub(tree: ModuleTree, number: int, phase: int) -> str:
    """The second line of a cell."""
    node = tree.nodes[number]
    parts = [_ops(node.ops[phase])]
    parts += [f"{AGAIN} {node.again[phase]:,}"] if node.again[phase] else []
    parts += [f"{MOVES} {node.moves[phase]:,}"] if node.moves[phase] else []
    kept = f"{KEEPS}{bytes_text(node.kept[phase])}" if phase < 2 and node.kept[phase] else ""
    return " · ".join(parts) + kept


def _ops(count: int) -> str:
    return f"{count:,} op{'' if count == 1 else 's'}"


def _row_of(tree: ModuleTree, seen: Sequence[int]) -> list[int]:
    """For each node the row that shows it or the ancestor it is folded into, -1 for open ones."""
    row_of = [-1] * len(tree.nodes)
    for row, number in enumerate(seen):
        row_of[number] = row
    for number, node in enumerate(tree.nodes):
        if row_of[number] < 0 and node.parent >= 0:
            row_of[number] = row_of[node.parent]
    return row_of


def _bands(tree: ModuleTree, row_of: Sequence[int], seen: Sequence[int]) -> tuple[tuple[Band, ...], int]:
    sums: dict[tuple[int, int, int, int], int] = defaultdict(int)
    best: dict[tuple[int, int, int, int], tuple[int, int]] = {}
    for kept in tree.kept:
        key = (row_of[kept.from_leaf], kept.from_phase, row_of[kept.to_leaf], kept.to_phase)
        sums[key] += kept.bytes
        best[key] = max(best.get(key, (0, -1)), (kept.bytes, kept.largest))
    shown = sorted(sums, key=lambda key: (-sums[key], key))
    most = max(sums.values(), default=1)
    bands = []
    for key in shown[:MOST_BANDS]:
        start, from_phase, end, to_phase = key
        size = sums[key]
        x, y = outline(start, from_phase, end, to_phase, max(BAND * size / most, THINNEST))
        source = f"{tree.nodes[seen[start]].label} {PHASES[from_phase]}"
        target = f"{tree.nodes[seen[end]].label} {PHASES[to_phase]}"
        text = f"{source} → {target}: {bytes_text(size)} kept"
        bands.append(Band(from_phase, x, y, size, text, best[key][1]))
    return tuple(bands), sum(sums[key] for key in shown[MOST_BANDS:])


def outline(
    start: int, from_phase: int, end: int, to_phase: int, height: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """A closed band from the right edge of one cell to the left edge of another, `height` high."""
    left, right = COLUMNS[from_phase][1], COLUMNS[to_phase][0]
    steps = 1 if start == end else STEPS
    x = [left + (right - left) * step / steps for step in range(steps + 1)]
    middle = [-start - (end - start) * (1 - math.cos(math.pi * step / steps)) / 2 for step in range(steps + 1)]
    half = height / 2
    return (*x, *reversed(x)), (*(y + half for y in middle), *(y - half for y in reversed(middle)))


def _brackets(tree: ModuleTree, seen: Sequence[int]) -> tuple[Bracket, ...]:
    """Open modules that have visible rows, outermost at the far left."""
    spans: dict[int, tuple[int, int]] = {}
    for row, number in enumerate(seen):
        parent = tree.nodes[number].parent
        while parent > 0:
            first, _ = spans.get(parent, (row, row))
            spans[parent] = (first, row)
            parent = tree.nodes[parent].parent
    levels: dict[int, int] = {}
    for number in sorted(spans, reverse=True):  # children come after their parents
        below = [levels[child] for child in tree.nodes[number].children if child in levels]
        levels[number] = max(below, default=-1) + 1
    return tuple(Bracket(number, levels[number], *spans[number], tree.nodes[number].label) for number in sorted(spans))


def _flows(cells: Sequence[Cell]) -> Iterator[Flow]:
    """Forward from each cell to the next below, backward from each to the next above, and the turn between them."""
    in_rows = [[cell.row for cell in cells if cell.phase == phase] for phase in (0, 1)]
    at = [COLUMNS[phase][0] + FLOW * (COLUMNS[phase][1] - COLUMNS[phase][0]) for phase in (0, 1)]
    for phase, numbers in enumerate(in_rows):
        for above, below in pairwise(numbers):
            ends = (-above - HALF, -below + HALF)
            yield Flow((at[phase], at[phase]), ends[::-1] if phase else ends, up=bool(phase))
    if all(in_rows):
        forward, backward = (-numbers[-1] - HALF for numbers in in_rows)
        floor = min(forward, backward) - TURN
        x = (at[0], at[0], at[1], at[1])
        yield Flow(x, (forward, floor, floor, backward), up=True)
