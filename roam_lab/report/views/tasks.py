"""ROAM's tree of tasks as an icicle: a row for each depth, each task as wide as its ops, leaves at the bottom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from roam_lab.errors import InputError
from roam_lab.report.graphs import graph_of
from roam_lab.report.units import bytes_text
from roam_lab.report.views.table import Table, Value

if TYPE_CHECKING:
    from roam_lab.ir import Graph
    from roam_lab.order.tasks import Task
    from roam_lab.plan import Plan


@dataclass(frozen=True, slots=True)
class Cell:
    """One task: ops `left` to `right` of the sequence, in row `depth`. `label`: its kind and, of a leaf, its solver."""

    depth: int
    left: int
    right: int
    kind: str
    label: str
    status: str
    solver: str
    seconds: float
    peak_bytes: int
    pair: int | None
    leaf: bool


@dataclass(frozen=True)
class TasksView:
    """Cells in depth-first order. `row_of[storage]`: the leaf that runs its creator, -1 for none."""

    name: str
    cells: tuple[Cell, ...]
    ops: int
    depth: int
    row_of: NDArray[np.int64]

    @property
    def title(self) -> str:
        return f"ROAM's tree of tasks for {self.name}"

    @property
    def alt(self) -> str:
        leaves = [cell for cell in self.cells if cell.leaf]
        status = Counter(cell.status for cell in leaves)
        solvers = Counter(cell.solver or "none" for cell in leaves)
        widest = max((cell.right - cell.left for cell in leaves), default=0)
        return (
            f"{self.title}, as planned: {self.ops:,} ops in {len(leaves):,} leaves of at most {widest:,} ops, "
            f"{self.depth:,} levels. Leaves by status: {_counted(status)}; by solver: {_counted(solvers)}; "
            f"{sum(cell.seconds for cell in leaves):.2f} s in leaves, measured."
        )

    @property
    def table(self) -> Table:
        columns = ("level", "kind", "ops", "first op", "pair", "status", "solver", "seconds", "peak, bytes")
        rows: list[tuple[Value, ...]] = [
            (c.depth, c.kind, c.right - c.left, c.left, c.pair, c.status, c.solver, c.seconds, c.peak_bytes)
            for c in self.cells
        ]
        return Table(f"{self.title}; seconds measured, peaks predicted", columns, tuple(rows))


def tasks_view(plan: Plan) -> TasksView:
    """The tree that made `plan`. Raises InputError for a bare plan, or one whose strategy made no tree."""
    graph = graph_of(plan)
    if plan.tasks is None:
        raise InputError(
            f"the plan of {graph.name or 'this step'} has no tree of tasks (strategy {plan.order_strategy}, or read "
            "from a file); plan with order roam"
        )
    cells = tuple(_cells(plan.tasks, 0, 0))
    leaf_of: dict[int, int] = {}
    leaves = [number for number, cell in enumerate(cells) if cell.leaf]
    for number, task in zip(leaves, plan.tasks.leaves(), strict=True):
        leaf_of.update(dict.fromkeys(task.ops, number))
    row_of = np.array([-1 if op is None else leaf_of.get(op, -1) for op in graph.creator], np.int64)
    ops = max((cell.right for cell in cells), default=0)
    return TasksView(graph.name or "a training step", cells, ops, max(cell.depth for cell in cells) + 1, row_of)


def no_tasks(graph: Graph) -> TasksView:
    """An empty view, in place of the tree of a plan of `graph` that has none."""
    return TasksView(graph.name or "a training step", (), 0, 1, np.full(len(graph.storages), -1, np.int64))


def _width(task: Task) -> int:
    return sum(map(_width, task.children)) if task.children else len(task.ops)


def _cells(task: Task, depth: int, left: int) -> Iterator[Cell]:
    pair = "" if task.pair is None else f" {task.pair}"
    label = f"{task.kind}{pair}" + (f" · {task.solver}" if task.solver else "")
    width = _width(task)
    yield Cell(
        depth,
        left,
        left + width,
        task.kind,
        label,
        task.status,
        task.solver,
        task.solve_seconds,
        task.peak_bytes,
        task.pair,
        not task.children,
    )
    for child in task.children:
        yield from _cells(child, depth + 1, left)
        left += _width(child)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.most_common()) or "none"


def cell_text(cell: Cell) -> str:
    """One line about a task, for a tooltip."""
    return (
        f"{cell.label}: {cell.right - cell.left:,} ops, peak {bytes_text(cell.peak_bytes)}, {cell.status}, "
        f"{cell.seconds:.3f} s"
    )
