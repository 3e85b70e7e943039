"""What each figure shows, as pure data: no bokeh, no SVG. Every view has a title, an alt text and a table.

views = views_of(plan, profile)
views.memory.alt, views.arena.table.html(), views.tables()
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from roam_lab.report.views.alive import AliveView, alive_view
from roam_lab.report.views.arena import ArenaView, arena_view
from roam_lab.report.views.axis import Clock
from roam_lab.report.views.frontier import FrontierView, frontier_view
from roam_lab.report.views.graph import GraphView, graph_view
from roam_lab.report.views.icicle import IcicleView, icicle_view
from roam_lab.report.views.memory import MemoryView, memory_view
from roam_lab.report.views.modules import module_tree
from roam_lab.report.views.rewrites import rewrites_table
from roam_lab.report.views.table import Table, View
from roam_lab.report.views.tasks import TasksView, tasks_view
from roam_lab.report.views.tensors import Tensors, tensors

if TYPE_CHECKING:
    from roam_lab.plan import Plan, Profile
    from roam_lab.plan.frontier import Frontier


@dataclass(frozen=True)
class Views:
    """All views of one plan. `tasks` is None where its strategy made no tree, `frontier` where none is known,
    `rewrites` where nothing was rewritten."""

    tensors: Tensors
    memory: MemoryView
    graph: GraphView
    arena: ArenaView
    alive: AliveView
    icicle: IcicleView
    tasks: TasksView | None
    frontier: FrontierView | None = None
    rewrites: Table | None = None

    def tables(self) -> dict[str, Table]:
        """The table with the numbers of each figure, by the figure's key."""
        shown: dict[str, View] = {
            "memory": self.memory,
            "graph": self.graph,
            "arena": self.arena,
            "icicle": self.icicle,
        }
        shown["alive"] = self.alive
        optional: dict[str, View | None] = {"frontier": self.frontier, "tasks": self.tasks}
        shown |= {key: view for key, view in optional.items() if view is not None}
        found = {key: view.table for key, view in shown.items()}
        return found if self.rewrites is None else found | {"rewrites": self.rewrites}


def views_of(
    plan: Plan,
    profile: Profile | None = None,
    *,
    clock: Clock = "auto",
    resident: bool = False,
    frontier: Frontier | None = None,
    baseline: tuple[str, Plan] | None = None,
) -> Views:
    """All views of `plan`, with what `profile` measured, its place on the `frontier` of its step, and the curve of a
    `baseline` (a name and a plan). Raises InputError for a bare plan."""
    known = tensors(plan)
    return Views(
        known,
        memory_view(plan, profile, clock=clock, resident=resident, baseline=baseline),
        graph_view(plan, tree=module_tree(known.graph, plan.order, known.places, plan.origins)),
        arena_view(plan, clock=clock, known=known),
        alive_view(plan, profile),
        icicle_view(plan, known=known),
        None if plan.tasks is None else tasks_view(plan),
        None if frontier is None else frontier_view(frontier, plan),
        rewrites_table(plan) if plan.rewrites else None,
    )
