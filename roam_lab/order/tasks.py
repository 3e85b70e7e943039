"""ROAM's tree of tasks as data: what was split where, who solved each leaf, how long it took."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["step", "segment", "pair", "part", "leaf"]
Solution = Literal["optimal", "feasible", "timed out"]


@dataclass(frozen=True, slots=True)
class Moved:
    """A weight update's op: the first segment in which it could have run (`home`), and the one in which it runs."""

    op: int
    home: int
    placed: int


@dataclass(frozen=True, slots=True)
class Task:
    """One node of the tree. The step holds segments and pairs, they hold parts, parts hold leaves.

    `ops`: the graph's op numbers in the sequence in which the plan runs them. `peak_bytes`: most live bytes while they
    run. `pair`: forward and backward segments that close like brackets share a number. `solver`: what solved a leaf
    ("ilp", "bound" when a heuristic order met the leaf's lower bound, ...); `status`: of a leaf, and of its parents the
    worst of their leaves. `moved`: on the step, where each weight update went.
    """

    kind: Kind
    ops: tuple[int, ...]
    peak_bytes: int
    status: Solution = "feasible"
    solver: str = ""
    solve_seconds: float = field(default=0.0, compare=False)
    pair: int | None = None
    children: tuple[Task, ...] = ()
    moved: tuple[Moved, ...] = ()

    def leaves(self) -> Iterator[Task]:
        """Every task without children, in the order in which they run."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves()

    def to_data(self) -> dict[str, Any]:
        """Plain JSON data, children nested."""
        return {
            "kind": self.kind,
            "ops": list(self.ops) if not self.children else len(self.ops),
            "peak_bytes": self.peak_bytes,
            "status": self.status,
            "solver": self.solver,
            "solve_seconds": round(self.solve_seconds, 6),
            "pair": self.pair,
            "children": [child.to_data() for child in self.children],
            "moved": [[move.op, move.home, move.placed] for move in self.moved],
        }
