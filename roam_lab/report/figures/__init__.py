"""Bokeh figures of plans, pure functions of the views in `report/views`; importing this imports bokeh.

    figures = linked(plan, profile)  # a dict: "controls", "memory", "icicle", "selected", "graph", ...
    html = page("GPT-2", figures, views_of(plan, profile).tables())

Each figure function takes a view and `theme` ("auto" is legible on light and dark pages, "light", "dark") and returns a
bokeh figure named "roam-KEY", with its alt text as label for screen readers and as `alt_text(figure)`.

**Selection.** The figures of one `linked` call share one selected storage, in a ColumnDataSource named
"roam-selection" with data {"storage": [number]}, -1 for none. The link is JavaScript in the page: it works in static
HTML and needs no kernel. Bokeh allows a model in one document only, so show linked figures together (`page`,
`bokeh.layouts.column`, one BokehModel), not one by one. From Python, where a kernel is behind the page:
`selection_of(model)` gives that source, `on_select(model, listener)` calls `listener(storage | None)` at every
change, `select(model, storage)` selects; `linked(..., selected=7)` does so from the start.
Figures made one by one (not by `linked`) each have a selection of their own, unless given one as
`selection=new_selection()`.

**Cursor.** They share one step of the planned order, too, in a ColumnDataSource named "roam-cursor" with data {"step":
[step]}, from 0. A drag in any figure moves it; so do arrow keys, page up and down, home and end in a figure that has
the focus, and "controls", a slider with a search box. Memory and arena show it as a line, the graph as a frame around
the cell that runs it; the icicle shows what is alive then. In theme "auto" figures take on the theme of the page around
them.

Sources by name: "roam-arena-data" (columns storage, count, left, right, bottom, top), "roam-alive-data"
(storage, bytes, ...), "roam-icicle-data" (level, node, storage, bytes, label, ...), "roam-icicle-focus" (node: the
one zoomed in to), "roam-graph-cells" (node, storage, label, ...), "roam-opened" (node: the modules that are open),
"roam-found" (storage: what a search found), "roam-tasks-data", "roam-frontier-data", "roam-pareto-data",
"roam-captured", "roam-planned", "roam-measured" (x, y, bytes), "roam-stack".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bokeh.layouts import column, row

from roam_lab.report.figures.alive import alive_figure
from roam_lab.report.figures.arena import arena_figure
from roam_lab.report.figures.cursor import Cursor, controls, new_cursor
from roam_lab.report.figures.details import details_pane
from roam_lab.report.figures.frontier import frontier_figure, on_pick
from roam_lab.report.figures.graph import graph_figure
from roam_lab.report.figures.home import settle
from roam_lab.report.figures.icicle import icicle_figure
from roam_lab.report.figures.memory import memory_figure
from roam_lab.report.figures.page import page, resources
from roam_lab.report.figures.pareto import pareto_figure
from roam_lab.report.figures.search import Search, mark_everywhere, new_search
from roam_lab.report.figures.selection import describing, new_selection, on_select, select, selection_of
from roam_lab.report.figures.stage import Stage
from roam_lab.report.figures.tasks import tasks_figure
from roam_lab.report.figures.theme import Theme, alt_text
from roam_lab.report.views import Views, views_of
from roam_lab.report.views.details import no_code
from roam_lab.report.views.frontier import no_frontier
from roam_lab.report.views.tasks import no_tasks

if TYPE_CHECKING:
    from roam_lab.plan import Plan, Profile
    from roam_lab.plan.frontier import Frontier
    from roam_lab.report.views.axis import Clock

BELOW = ("frontier", "alive", "tasks")
"""Figures that stand below the others, and may be drawn when a page has painted those."""

__all__ = [
    "BELOW",
    "Stage",
    "Theme",
    "alive_figure",
    "alt_text",
    "arena_figure",
    "frontier_figure",
    "graph_figure",
    "icicle_figure",
    "linked",
    "linked_views",
    "memory_figure",
    "new_cursor",
    "new_selection",
    "on_pick",
    "on_select",
    "page",
    "pareto_figure",
    "resources",
    "select",
    "selection_of",
    "tasks_figure",
]


def linked(
    plan: Plan,
    profile: Profile | None = None,
    *,
    theme: Theme = "auto",
    clock: Clock = "auto",
    resident: bool = False,
    selected: int | None = None,
    frontier: Frontier | None = None,
) -> dict[str, Any]:
    """All figures of one plan, their selection and their time axis shared: a click on a tensor selects it everywhere.

    Keys: "controls" (cursor and search), "memory", "icicle", "selected" (details of the selected storage), "graph",
    "arena", "alive", "frontier" where one is given, and "tasks" where the plan has a tree. `clock`: the time axis of
    memory and arena; `resident`: draw memory on top of the resident bytes. Raises InputError for a bare plan, or a
    clock for which the graph has no numbers.
    """
    views = views_of(plan, profile, clock=clock, resident=resident, frontier=frontier)
    return linked_views(views, theme=theme, selected=selected)


def linked_views(
    views: Views,
    *,
    theme: Theme = "auto",
    selected: int | None = None,
    places: bool = False,
    code: Callable[[str], str] = no_code,
    stage: Stage | None = None,
    below: bool = True,
) -> dict[str, Any]:
    """As `linked`, from views that were made before. `code`: returns the source code at "file:line".

    `stage`: on which figures have been drawn before; they become those of `views` at its next `show`, the figures of
    BELOW only where `below` is true. `places`: always with "frontier" and "tasks", and with what draws rewritten
    storages, empty and invisible where a plan has none: what is drawn on a stage again needs it, as figures that come
    and go would leave what links them with the others.
    """
    stage = stage or Stage()
    selection = new_selection(-1 if selected is None else selected, stage)
    described = describing(views.tensors, stage)
    cursor = new_cursor(views.tensors, views.memory.axis, views.graph.tree, views.icicle.step, stage)
    shared: dict[str, Any] = {"theme": theme, "selection": selection, "stage": stage}
    memory = memory_figure(views.memory, known=views.tensors, cursor=cursor, places=places, **shared)
    search = new_search(stage, cursor, described)
    figures = {
        "controls": _controls(stage, cursor, views, search),
        "memory": memory,
        "icicle": icicle_figure(views.icicle, cursor, described=described, found=search.hits, places=places, **shared),
        "selected": details_pane(selection, cursor, views.tensors, described, code, stage),
        "graph": graph_figure(views.graph, cursor=cursor, **shared),
        "arena": arena_figure(
            views.arena, described=described, x_range=memory.x_range, cursor=cursor, places=places, **shared
        ),
    }
    if below:
        figures |= _below(stage, views, theme, selection, places)
    mark_everywhere(stage, figures, views, search, cursor)
    settle(stage, figures.values(), cursor, theme)
    return figures


def _controls(stage: Stage, cursor: Cursor, views: Views, search: Search) -> Any:
    slider, play, readout = controls(stage, cursor, views.tensors)

    def made() -> Any:
        bar = row(slider, play, search.box, sizing_mode="stretch_width", styles={"flex-wrap": "wrap"})
        return column(bar, readout, search.summary, sizing_mode="stretch_width", name="roam-controls")

    return stage.once("roam-controls", made)


def _below(stage: Stage, views: Views, theme: Theme, selection: Any, places: bool) -> dict[str, Any]:
    """The figures of BELOW."""
    figures = {"alive": alive_figure(views.alive, theme=theme, selection=selection, stage=stage)}
    if views.frontier is not None or places:
        frontier = views.frontier or no_frontier(views.arena.name)
        figures["frontier"] = frontier_figure(frontier, theme=theme, stage=stage)
        stage.set(figures["frontier"], styles={"display": "" if views.frontier else "none"})
    if views.tasks is not None or places:
        tasks = views.tasks or no_tasks(views.tensors.graph)
        figures["tasks"] = tasks_figure(tasks, theme=theme, selection=selection, stage=stage)
        # `visible` would make the page lay out all figures again
        stage.set(figures["tasks"], styles={"display": "" if views.tasks else "none"})
    return figures
