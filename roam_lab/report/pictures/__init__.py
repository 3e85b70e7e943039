"""The figures as SVG: static, without scripts or ids, light or dark as the viewer prefers, each under 200 kB.

pictures(plan, profile)["arena"]     # an SVG document, a str that a notebook shows as a picture, with its alt text

Keys are those of figures.linked, without "selected".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from roam_lab.report.pictures.alive import alive_picture
from roam_lab.report.pictures.arena import arena_picture
from roam_lab.report.pictures.canvas import Picture
from roam_lab.report.pictures.frontier import frontier_picture
from roam_lab.report.pictures.graph import graph_picture
from roam_lab.report.pictures.icicle import icicle_picture
from roam_lab.report.pictures.memory import memory_picture
from roam_lab.report.pictures.pareto import pareto_picture
from roam_lab.report.pictures.sizes import sizes_picture
from roam_lab.report.pictures.tasks import tasks_picture
from roam_lab.report.pictures.ways import ways_picture
from roam_lab.report.views import Views, views_of
from roam_lab.report.views.memory import memory_view, profile_memory_view

if TYPE_CHECKING:
    from roam_lab.plan import Plan, Profile
    from roam_lab.plan.frontier import Frontier
    from roam_lab.report.views.axis import Clock

__all__ = [
    "Picture",
    "alive_picture",
    "arena_picture",
    "frontier_picture",
    "graph_picture",
    "icicle_picture",
    "memory_picture",
    "pareto_picture",
    "pictures",
    "pictures_of",
    "plan_picture",
    "profile_picture",
    "sizes_picture",
    "tasks_picture",
    "ways_picture",
]


def pictures(
    plan: Plan,
    profile: Profile | None = None,
    *,
    clock: Clock = "auto",
    resident: bool = False,
    frontier: Frontier | None = None,
) -> dict[str, Picture]:
    """All pictures of one plan by key: memory, graph, arena, icicle, alive; frontier, if one is given; and tasks, if
    the plan has a tree.

    Raises InputError for a bare plan, or a clock for which the graph has no numbers.
    """
    return pictures_of(views_of(plan, profile, clock=clock, resident=resident, frontier=frontier))


def plan_picture(plan: Plan, profile: Profile | None = None) -> Picture:
    """Memory over time of a plan: captured, planned, bound, and what `profile` measured. Raises InputError if bare."""
    return memory_picture(memory_view(plan, profile))


def profile_picture(profile: Profile) -> Picture:
    """Memory over time of a step that was captured and not yet planned."""
    return memory_picture(profile_memory_view(profile))


def pictures_of(views: Views) -> dict[str, Picture]:
    """As `pictures`, from views that were made before."""
    drawn = {
        "memory": memory_picture(views.memory),
        "graph": graph_picture(views.graph),
        "arena": arena_picture(views.arena),
        "icicle": icicle_picture(views.icicle),
        "alive": alive_picture(views.alive),
    }
    if views.frontier is not None:
        drawn["frontier"] = frontier_picture(views.frontier)
    return drawn if views.tasks is None else drawn | {"tasks": tasks_picture(views.tasks)}
