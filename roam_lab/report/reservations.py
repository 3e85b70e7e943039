"""The memory that PyTorch's CUDA caching allocator would reserve for a plan's graph, by simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roam_lab.ir.training_run import TrainingRun
from roam_lab.layout.caching.settings import AllocatorSettings
from roam_lab.layout.caching.training_run import Reservation, simulate
from roam_lab.report.graphs import graph_of

if TYPE_CHECKING:
    from roam_lab.plan import Plan
    from roam_lab.plan.profile import Profile


def reservation(plan: Plan, profile: Profile | None = None) -> Reservation:
    """The bytes that PyTorch's CUDA caching allocator would hold over some steps in captured order, by simulation with
    the settings of the user's environment. `profile`: the profile that was planned; without it residents count as one
    storage.

    Raises InputError for a bare plan.
    """
    if profile is not None:
        return profile.reservation()
    graph = graph_of(plan)
    return simulate(TrainingRun(graph, {"resident": (graph.resident_bytes,)}), AllocatorSettings.of_environment())


def unmodelled_settings() -> tuple[str, ...]:
    """A sentence for each of the user's allocator settings that the simulation does not follow."""
    return AllocatorSettings.of_environment().unmodelled
