"""Runs: the ways to run a step that `fit` compares (eager, planned, planned with extra time), and the bytes that each
needs."""

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
""""eager": as PyTorch runs it; "planned": by a plan that adds no time; a number: by a plan that may add so much time,
as a fraction of the step's."""
RUNS: tuple[Literal["eager"], Literal["planned"]] = ("eager", "planned")
EXTRA_TIMES = (0.05, 0.1, 0.25)


@dataclass(frozen=True, slots=True)
class Point:
    """What a step needs at one batch size at which it was captured and planned; predicted, in bytes.

    `eager_bytes`: what PyTorch's caching allocator reserves over some steps in captured order (simulated);
    `planned_bytes`: the plan's arena; `rewritten_bytes`: allowed extra time -> arena of the plan. `eager_least_bytes`:
    the least memory in which eager runs, its allocator giving back what it caches (None: not known, taken as
    `eager_bytes`). `reserved_bytes`: run -> what the allocator reserves for the planned step, with its rounding and, on
    CUDA, results beside the arena and a workspace of cuBLAS (plan/planned_run.py; a run that is missing is taken as its
    arena). All of these come on top of `resident_bytes`. `added`: run -> the time that its plan adds, as a fraction of
    the step's. `seconds`: GPU (a name in `ir/roofline.py`) -> time of an eager step; empty where the ops' flops are not
    known.
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
        """The runs whose need is known, the fastest first."""
        return (*RUNS, *sorted(self.rewritten_bytes))

    def need(self, run: Run) -> int:
        """Bytes of the whole step: residents, and the plan's arena or what eager reserves."""
        if isinstance(run, str):
            return self.resident_bytes + (self.eager_bytes if run == "eager" else self.planned_bytes)
        return self.resident_bytes + self.rewritten_bytes[run]

    def least(self, run: Run) -> int:
        """The least memory in which the step runs, residents included."""
        known = self.eager_least_bytes if run == "eager" else self.reserved_bytes.get(run)
        return self.need(run) if known is None else self.resident_bytes + known


def point_at(batch: int, profile: Profile, plan: Plan, rewritten: Mapping[float, Plan] | None = None) -> Point:
    """The needs at the batch size `batch`, at which `profile` was captured. `rewritten`: allowed extra time -> plan.
    The allocator is simulated with the settings of the user's environment."""
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
    """The least memory in which the eager step runs, above residents."""
    run = profile.training_run
    return least_bytes(run, AllocatorSettings.of_environment()) - run.resident_bytes


def planned_bytes(profile: Profile, plan: Plan) -> int:
    """Bytes that a plan needs above the resident bytes of its profile; together they are `planned_whole_bytes`."""
    return planned_whole_bytes(plan) - profile.resident_bytes


def reserved_bytes(profile: Profile, plan: Plan) -> int:
    """Bytes that the allocator reserves for a planned step above residents, by simulation."""
    graph = profile.graph if plan.graph is None else plan.graph
    held = simulate_planned(plan, graph, profile.training_run, AllocatorSettings.of_environment())
    return held.reserved - held.resident


def plan_for(profile: Profile, run: Run) -> Plan:
    """The plan of a run other than "eager", as `roam plan --extra-time` makes it."""
    extra_time = 0.0 if isinstance(run, str) else run
    return make_plan(profile.graph, environment=profile.environment, extra_time=extra_time)
