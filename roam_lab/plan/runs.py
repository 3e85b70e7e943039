"""Ways to run a step that `fit` compares, and the bytes that each needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from roam_lab.layout.caching.settings import AllocatorSettings
from roam_lab.layout.caching.training_run import least_bytes, simulate
from roam_lab.plan.plan import Plan
from roam_lab.plan.planned_run import simulate_planned
from roam_lab.plan.planner import make_plan
from roam_lab.plan.profile import Profile

Run = Literal["eager", "planned"] | float
"""As it is; by a plan that adds no time; by one that may add so much, as a fraction of the step's."""
RUNS: tuple[Literal["eager"], Literal["planned"]] = ("eager", "planned")
EXTRA_TIMES = (0.05, 0.1, 0.25)


@dataclass(frozen=True, slots=True)
class Point:
    """What one captured and planned batch size needs. All predicted, in bytes.

    `eager_bytes`: what PyTorch's caching allocator reserves over some steps in captured order (simulated);
    `planned_bytes`: what it reserves for the plan's arena, and on CUDA for what lies beside it (plan/planned_run.py);
    `rewritten_bytes`: the same of plans that add time, by the fraction that they may. On CUDA, workspaces of cuBLAS
    are in all of them. `eager_least_bytes`: with how little eager runs, where the allocator has to give back what it
    caches (None: not known, taken as `eager_bytes`). All lie on top of `resident_bytes`.
    """

    batch: int
    resident_bytes: int
    eager_bytes: int
    planned_bytes: int
    eager_least_bytes: int | None = None
    rewritten_bytes: Mapping[float, int] = field(default_factory=dict)

    @property
    def runs(self) -> tuple[Run, ...]:
        """Those whose need is known, the fastest first."""
        return (*RUNS, *sorted(self.rewritten_bytes))

    def need(self, run: Run) -> int:
        """Bytes of the whole step, resident included."""
        if isinstance(run, str):
            return self.resident_bytes + (self.eager_bytes if run == "eager" else self.planned_bytes)
        return self.resident_bytes + self.rewritten_bytes[run]

    def least(self, run: Run) -> int:
        """Bytes without which the step does not run, resident included."""
        if run != "eager" or self.eager_least_bytes is None:
            return self.need(run)
        return self.resident_bytes + self.eager_least_bytes


def point_at(batch: int, profile: Profile, plan: Plan, rewritten: Mapping[float, Plan] | None = None) -> Point:
    """The needs at the batch size at which `profile` was captured; the allocator has the settings of the user's
    environment."""
    run, settings = profile.training_run, AllocatorSettings.of_environment()
    held = simulate(run, settings)
    return Point(
        batch,
        profile.resident_bytes,
        held.reserved - held.resident,
        planned_bytes(profile, plan),
        eager_least_bytes(profile),
        {extra_time: planned_bytes(profile, one) for extra_time, one in (rewritten or {}).items()},
    )


def eager_least_bytes(profile: Profile) -> int:
    """With how little eager runs, above what is resident."""
    run = profile.training_run
    return least_bytes(run, AllocatorSettings.of_environment()) - run.resident_bytes


def planned_bytes(profile: Profile, plan: Plan) -> int:
    """What a planned step reserves above what is resident. `plan` holds its graph, rewritten or not."""
    graph = profile.graph if plan.graph is None else plan.graph
    held = simulate_planned(plan, graph, profile.training_run, AllocatorSettings.of_environment())
    return held.reserved - held.resident


def plan_for(profile: Profile, run: Run) -> Plan:
    """The plan of a run that is not eager's, as `roam plan --extra-time` makes it."""
    extra_time = 0.0 if isinstance(run, str) else run
    return make_plan(profile.graph, environment=profile.environment, extra_time=extra_time)
