"""A profile: what one captured training step needs, as pure data, beside what was measured."""

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

    `graph` is what is planned. `eager_graph`, where given, is the step just as eager PyTorch runs it (it may add
    gradients out of place, and what ops take for themselves is not counted): a profile's captured figures are
    eager's, those of a plan are of `graph` in the same order. Reports call them "eager" and "captured".
    `resident`: bytes by kind (parameters, buffers, optimizer state, batch): always there, outside the arena.
    `eager_run`, where given: `eager_graph` with every resident storage and what CUDA takes for itself.
    `measured`: live bytes of the real step, where one was run. `environment`: what it was captured with, as texts.
    `differences`: a sentence for every place where measured and predicted differ by more than 5 %, and for what else is
    remarkable about the step.
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
        """What the step takes above what is resident, by estimate: `captured_peak_bytes`, or, where that is more, the
        peak of the planned graph in eager's order, which counts what ops take for themselves."""
        return max(self.captured_peak_bytes, live_peak(self.graph, captured_order(self.graph)).bytes)

    @property
    def resident_bytes(self) -> int:
        """Bytes that are always there: the sum of `resident`."""
        return sum(self.resident.values())

    @property
    def training_run(self) -> TrainingRun:
        """`eager_run`; where it is not known, as if the storages of a kind were one."""
        resident = {kind: (size,) for kind, size in self.resident.items()}
        return self.eager_run or TrainingRun(self.eager_graph or self.graph, resident)

    def reservation(self, settings: AllocatorSettings | None = None) -> Reservation:
        """What PyTorch's CUDA caching allocator holds over some eager steps, by simulation; `settings` None: the user's
        own, of the environment variable that PyTorch reads."""
        chosen = settings or AllocatorSettings.of_environment()
        if chosen not in self._reservations:
            self._reservations[chosen] = simulate(self.training_run, chosen)
        return self._reservations[chosen]

    @cached_property
    def _reservations(self) -> dict[AllocatorSettings, Reservation]:
        """Those that were simulated: each takes a second where ops are ten thousand."""
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
