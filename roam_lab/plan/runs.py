"""Ways to run a step that `fit` compares, and the bytes that each needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from roam_lab.ir.roofline import GPUS, roofline_seconds
from roam_lab.layout.caching.settings import AllocatorSettings
from roam_lab.layout.caching.training_run import least_bytes
from roam_lab.plan.plan import Plan
from roam_lab.plan.planned_run import simulate_planned
from roam_lab.plan.planner import make_plan
from roam_lab.plan.profile import Profile
from roam_lab.plan.whole_step import eager_whole_bytes, planned_whole_bytes

Run = Literal["eager", "planned"] | float
"""As it is; by a plan that adds no time; by one that may add so much, as a fraction of the step's."""
RUNS: tuple[Literal["eager"], Literal["planned"]] = ("eager", "planned")
EXTRA_TIMES = (0.05, 0.1, 0.25)


@dataclass(frozen=True, slots=True)
class Point:
    """What one captured and planned batch size needs. All predicted, in bytes.

    `eager_bytes`: what PyTorch's caching allocator reserves over some steps in captured order (simulated);
    `planned_bytes`: the plan's arena; `rewritten_bytes`: the arenas of plans that add time, by the fraction that they
    may. `eager_least_bytes`: with how little eager runs, where the allocator has to give back what it caches (None: not
    known, taken as `eager_bytes`); `reserved_bytes`: what the allocator reserves for a planned run, its own rounding
    and, on CUDA, what lies beside the arena and a workspace of cuBLAS included (plan/planned_run.py; a run that is not
    in it: taken as its arena). All lie on top of `resident_bytes`.
    `added`: what the plan of a run adds to the step's time, as a fraction. `seconds`: of an eager step, by the rates of
    GPUs (names of `ir/roofline.py`); empty where the step's arithmetic is not known.
    """

    batch: int
    resident_bytes: int
    eager_bytes: int
    planned_bytes: int
    eager_least_bytes: int | None = None
    rewritten_bytes: Mapping[float, int] = field(default_factory=dict)
    reserved_bytes: Mapping[Run, int] = field(default_factory=dict)
    added: Mapping[Run, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def runs(self) -> tuple[Run, ...]:
        """Those whose need is known, the fastest first."""
        return (*RUNS, *sorted(self.rewritten_bytes))

    def need(self, run: Run) -> int:
        """Bytes of the whole step: resident, and what eager reserves or the plan's arena."""
        if isinstance(run, str):
            return self.resident_bytes + (self.eager_bytes if run == "eager" else self.planned_bytes)
        return self.resident_bytes + self.rewritten_bytes[run]

    def least(self, run: Run) -> int:
        """Bytes without which the step does not run, resident included."""
        known = self.eager_least_bytes if run == "eager" else self.reserved_bytes.get(run)
        return self.need(run) if known is None else self.resident_bytes + known


def point_at(batch: int, profile: Profile, plan: Plan, rewritten: Mapping[float, Plan] | None = None) -> Point:
    """The needs at the batch size at which `profile` was captured; the allocator has the settings of the user's
    environment."""
    resident = profile.resident_bytes
    others = dict(rewritten or {})
    named: list[tuple[Run, Plan]] = [("planned", plan), *others.items()]
    eager = profile.eager_graph or profile.graph
    seconds = {name: roofline_seconds(eager, gpu) for name, gpu in GPUS.items()}
    return Point(
        batch,
        resident,
        eager_whole_bytes(profile) - resident,
        planned_bytes(profile, plan),
        eager_least_bytes(profile),
        {extra_time: planned_bytes(profile, one) for extra_time, one in others.items()},
        {run: reserved_bytes(profile, one) for run, one in named},
        {run: one.extra_time for run, one in named},
        {name: one for name, one in seconds.items() if one is not None},
    )


def eager_least_bytes(profile: Profile) -> int:
    """With how little eager runs, above what is resident."""
    run = profile.training_run
    return least_bytes(run, AllocatorSettings.of_environment()) - run.resident_bytes


def planned_bytes(profile: Profile, plan: Plan) -> int:
    """What a plan needs above the resident bytes of its profile: with them it is `planned_whole_bytes`."""
    return planned_whole_bytes(plan) - profile.resident_bytes


def reserved_bytes(profile: Profile, plan: Plan) -> int:
    """What a planned step reserves above what is resident. `plan` holds its graph, rewritten or not."""
    graph = profile.graph if plan.graph is None else plan.graph
    held = simulate_planned(plan, graph, profile.training_run, AllocatorSettings.of_environment())
    return held.reserved - held.resident


def plan_for(profile: Profile, run: Run) -> Plan:
    """The plan of a run that is not eager's, as `roam plan --extra-time` makes it."""
    extra_time = 0.0 if isinstance(run, str) else run
    return make_plan(profile.graph, environment=profile.environment, extra_time=extra_time)
