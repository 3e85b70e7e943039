"""A training run as eager PyTorch makes it: a step's graph, what is always there, what ops take for themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from roam_lab.ir.graph import Graph

MATRIX_PRODUCTS = frozenset(
    f"aten.{name}.default" for name in ("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "linear", "_addmm_activation")
)
"""Targets that cuBLAS computes."""


@dataclass(frozen=True)
class TrainingRun:
    """Steps of `graph` in captured order; sizes in bytes.

    `resident`: kind (parameter, buffer, batch, state, ...) -> size of each of its storages, in the sequence in which
    they are made. `temporaries`: op -> what it allocates and frees again within itself. `workspace_bytes`: of cuBLAS,
    in each thread that multiplies matrices: one runs forward and update, another backward.
    """

    graph: Graph
    resident: Mapping[str, Sequence[int]] = field(default_factory=dict)
    temporaries: Mapping[int, int] = field(default_factory=dict)
    workspace_bytes: int = 0

    @property
    def resident_bytes(self) -> int:
        """What is always there, workspaces of cuBLAS apart."""
        return sum(map(sum, self.resident.values()))

    @property
    def workspaces(self) -> dict[int, int]:
        """Op -> bytes of the workspace of cuBLAS that is made there and stays."""
        first: dict[bool, int] = {}
        for index, op in enumerate(self.graph.ops):
            if self.workspace_bytes and op.target in MATRIX_PRODUCTS:
                first.setdefault(op.phase == "backward", index)
        return dict.fromkeys(first.values(), self.workspace_bytes)
