"""What a whole step takes: one count for a plan's page, its fit and its frontier."""

from __future__ import annotations

from roam_lab.errors import InputError
from roam_lab.ir import Graph
from roam_lab.ir.training_run import TrainingRun
from roam_lab.layout.caching.settings import AllocatorSettings
from roam_lab.layout.caching.training_run import simulate
from roam_lab.plan.plan import Plan
from roam_lab.plan.profile import Profile


def planned_whole_bytes(plan: Plan) -> int:
    """Resident bytes and the plan's arena: what `--budget` counts. Raises InputError for a bare plan."""
    if plan.graph is None:
        raise InputError("this plan is bare (it has no graph in it), so its resident bytes are not known")
    return plan.graph.resident_bytes + plan.arena_bytes


def eager_whole_bytes(of: Profile | Graph) -> int:
    """What PyTorch's caching allocator reserves over some eager steps, resident bytes and its own losses included, by
    simulation under the settings of the user's environment.

    Of a graph alone: in captured order, with residents as if they were one storage.
    """
    return simulate(_run_of(of), AllocatorSettings.of_environment()).reserved


def _run_of(of: Profile | Graph) -> TrainingRun:
    return of.training_run if isinstance(of, Profile) else TrainingRun(of, {"resident": (of.resident_bytes,)})
