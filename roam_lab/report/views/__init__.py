"""What each figure shows, as pure data: no bokeh, no SVG. Every view has a title, its content in words and a table.

views = views_of(plan, profile)
views.memory.alt, views.arena.table.html(), views.tables()
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from roam_lab.report.views.alive import AliveView, alive_view
from roam_lab.report.views.arena import ArenaView, arena_view
from roam_lab.report.views.axis import Clock
from roam_lab.report.views.graph import GraphView, graph_view
from roam_lab.report.views.memory import MemoryView, memory_view
from roam_lab.report.views.modules import module_tree
from roam_lab.report.views.table import Table, View
from roam_lab.report.views.tasks import TasksView, tasks_view
from roam_lab.report.views.tensors import Tensors, tensors

if TYPE_CHECKING:
    from roam_lab.plan import Plan, Profile


@dataclass(frozen=True)
class Views:
    """All views of one plan. `tasks` is None where its strategy made no tree."""

    tensors: Tensors
    memory: MemoryView
    graph: GraphView
    arena: ArenaView
    alive: AliveView
    tasks: TasksView | None

    def tables(self) -> dict[str, Table]:
        """The table twin of each figure, by the figure's key."""
        shown: dict[str, View] = {"memory": self.memory, "graph": self.graph, "arena": self.arena, "alive": self.alive}
        found = {key: view.table for key, view in shown.items()}
        return found if self.tasks is None else found | {"tasks": self.tasks.table}


def views_of(plan: Plan, profile: Profile | None = None, *, clock: Clock = "auto", resident: bool = False) -> Views:
    """Everything that can be shown of `plan`, with what `profile` measured. Raises InputError for a bare plan."""
    known = tensors(plan)
    return Views(
        known,
        memory_view(plan, profile, clock=clock, resident=resident),
        graph_view(plan, tree=module_tree(known.graph, plan.order, known.places)),
        arena_view(plan, clock=clock, known=known),
        alive_view(plan, profile),
        None if plan.tasks is None else tasks_view(plan),
    )
