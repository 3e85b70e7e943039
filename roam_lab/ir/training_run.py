"""A training run of eager PyTorch as the simulated allocator sees it: a step's graph, its residents, and the memory
that ops take while they run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from roam_lab.ir.graph import Graph

MATRIX_PRODUCTS = frozenset(
    f"aten.{name}.default" for name in ("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "linear", "_addmm_activation")
)
"""Targets of ops that cuBLAS computes."""


@dataclass(frozen=True)
class TrainingRun:
    """Steps of `graph` in captured order; sizes in bytes.

    `resident`: kind (parameter, buffer, batch, state, ...) -> size of each of its storages, in the sequence in which
    they are made. `temporaries`: op -> bytes that it allocates and frees while it runs. `workspace_bytes`: bytes that
    cuBLAS takes in each thread that multiplies matrices; one thread runs forward and update, another backward.
    """

    graph: Graph
    resident: Mapping[str, Sequence[int]] = field(default_factory=dict)
    temporaries: Mapping[int, int] = field(default_factory=dict)
    workspace_bytes: int = 0

    @property
    def resident_bytes(self) -> int:
        """Bytes of all residents, without the workspaces of cuBLAS."""
        return sum(map(sum, self.resident.values()))

    @property
    def workspaces(self) -> dict[int, int]:
        """Op -> bytes of the cuBLAS workspace that it makes: the first matrix product of each thread makes one, which
        is never freed."""
        first: dict[bool, int] = {}
        for index, op in enumerate(self.graph.ops):
            if self.workspace_bytes and op.target in MATRIX_PRODUCTS:
                first.setdefault(op.phase == "backward", index)
        return dict.fromkeys(first.values(), self.workspace_bytes)
