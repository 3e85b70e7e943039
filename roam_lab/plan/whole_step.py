"""Bytes of a whole step: the one place where they are counted, for plans, fits and frontiers."""

from __future__ import annotations

from roam_lab.errors import InputError
from roam_lab.ir import Graph
from roam_lab.ir.training_run import TrainingRun
from roam_lab.layout.caching.settings import AllocatorSettings
from roam_lab.layout.caching.training_run import simulate
from roam_lab.plan.plan import Plan
from roam_lab.plan.profile import Profile


def planned_whole_bytes(plan: Plan) -> int:
    """Bytes of residents and of the plan's arena together, as `--budget` counts them. Raises InputError for a bare
    plan.
    """
    if plan.graph is None:
        raise InputError("this plan is bare (it has no graph in it), so its resident bytes are not known")
    return plan.graph.resident_bytes + plan.arena_bytes


def eager_whole_bytes(of: Profile | Graph) -> int:
    """Bytes that PyTorch's caching allocator reserves over some eager steps, residents and fragmentation included, by
    simulation with the settings of the user's environment.

    For a graph without a profile: its captured order, with all residents as one storage.
    """
    return simulate(_run_of(of), AllocatorSettings.of_environment()).reserved


def _run_of(of: Profile | Graph) -> TrainingRun:
    return of.training_run if isinstance(of, Profile) else TrainingRun(of, {"resident": (of.resident_bytes,)})
