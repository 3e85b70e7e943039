"""A profile: one captured training step with its predicted and measured memory, as pure data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from roam_lab.ir import Graph, captured_order, live_curve, live_peak, save_graph
from roam_lab.ir.measured import MeasuredCurve
from roam_lab.ir.training_run import TrainingRun
from roam_lab.layout.caching.settings import AllocatorSettings
from roam_lab.layout.caching.training_run import Reservation, simulate
from roam_lab.plan.plan import Plan
from roam_lab.plan.planner import make_plan

__all__ = ["MeasuredCurve", "Profile"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Profile:
    """One captured step: its graph, its resident bytes by kind, and the measured curve if one was taken.

    `graph` is what is planned. `eager_graph`, where given, is the step just as eager PyTorch runs it: eager may add
    gradients out of place, and workspaces are not counted. The captured figures of a profile are those of
    `eager_graph`; those of a plan are of `graph` in captured order. Reports call the first "eager", the second
    "captured".
    `resident`: kind (parameters, buffers, optimizer state, batch) -> bytes, which are always there, outside the arena.
    `eager_run`, where given: `eager_graph` with every resident storage and the memory that CUDA libraries take.
    `measured`: the curve of the real step, where one was run. `environment`: what it was captured with, as texts.
    `differences`: a sentence for every place where measured and predicted memory differ by more than 5 %, and for
    anything else that the user should know about the step.
    """

    graph: Graph
    eager_graph: Graph | None = None
    resident: Mapping[str, int] = field(default_factory=dict)
    measured: MeasuredCurve | None = None
    differences: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    eager_run: TrainingRun | None = None

    @cached_property
    def captured_peak_bytes(self) -> int:
        """The eager peak: the most live bytes as eager PyTorch runs the ops (without resident bytes)."""
        return int(max(self.captured_curve, default=0))

    @cached_property
    def captured_curve(self) -> tuple[int, ...]:
        """Live bytes while each op runs, in captured order (without resident bytes)."""
        graph = self.eager_graph or self.graph
        return tuple(live_curve(graph, captured_order(graph)).tolist())

    @cached_property
    def eager_bytes(self) -> int:
        """Estimated bytes of the eager step above residents: `captured_peak_bytes`, or, where that is more, the live
        peak of `graph` in captured order, which counts workspaces, too."""
        return max(self.captured_peak_bytes, live_peak(self.graph, captured_order(self.graph)).bytes)

    @property
    def resident_bytes(self) -> int:
        """Bytes that are always there: the sum of `resident`."""
        return sum(self.resident.values())

    @property
    def training_run(self) -> TrainingRun:
        """`eager_run`; where it is not known, a run in which the residents of each kind are one storage."""
        resident = {kind: (size,) for kind, size in self.resident.items()}
        return self.eager_run or TrainingRun(self.eager_graph or self.graph, resident)

    def reservation(self, settings: AllocatorSettings | None = None) -> Reservation:
        """The bytes that PyTorch's CUDA caching allocator reserves over some eager steps, by simulation. `settings`
        None: those of the environment variable that PyTorch reads."""
        chosen = settings or AllocatorSettings.of_environment()
        if chosen not in self._reservations:
            self._reservations[chosen] = simulate(self.training_run, chosen)
        return self._reservations[chosen]

    @cached_property
    def _reservations(self) -> dict[AllocatorSettings, Reservation]:
        """The reservations simulated so far; each takes a second for a graph of 10,000 ops."""
        return {}

    def __repr__(self) -> str:
        resident = ", ".join(f"{kind} {size / 2**20:,.1f}" for kind, size in self.resident.items()) or "none"
        measured = "not measured" if self.measured is None else f"measured by {self.measured.how}"
        return (
            f"Profile({self.graph.name!r}: {len(self.graph.ops)} ops, "
            f"whole step {(self.resident_bytes + self.eager_bytes) / 2**20:,.1f} MiB, eager, predicted; "
            f"resident MiB: {resident}; {measured})"
        )

    def plan(
        self,
        order: str = "auto",
        layout: str = "auto",
        node_limit: int | None = None,
        time_limit: float | None = None,
        seed: int = 0,
        **more: Any,
    ) -> Plan:
        """Plan this step: `make_plan` (which documents the parameters and errors) with this environment."""
        return make_plan(
            self.graph,
            order=order,
            layout=layout,
            node_limit=node_limit,
            time_limit=time_limit,
            seed=seed,
            **{"environment": self.environment, **more},
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the graph as `roam-graph/2`, with its environment, so that a plan of the file is one of this profile.

        Gzipped when the name ends in .gz. Raises OutputError.
        """
        save_graph(replace(self.graph, environment=self.environment), path)
