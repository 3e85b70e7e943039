"""Where the panel's figures stand: live bokeh figures where the front end shows them, else the same as pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from roam_lab.lab.host import Host
from roam_lab.report.pictures import pictures_of
from roam_lab.report.views import views_of

if TYPE_CHECKING:
    from roam_lab.plan import Plan, Profile

KEYS = ("memory", "arena", "graph", "alive", "tasks")


class FigureArea(widgets.VBox):  # type: ignore[misc]
    """The linked figures of one plan. `selected(storage)` hears what is clicked, None for nothing."""

    def __init__(self, host: Host, selected: Callable[[int | None], None]) -> None:
        self._live = host.bokeh
        self._selected = selected
        self._figures: Any = None
        self._storage: int | None = None
        self._tables = widgets.HTML()
        self._still = widgets.HTML()
        self._why = widgets.HTML(f"<small>{host.why}</small>" if host.why else "")
        super().__init__([])

    @property
    def storage(self) -> int | None:
        """The selected storage."""
        return self._storage

    def show(self, plan: Plan, profile: Profile | None) -> None:
        """Draw `plan` in place of what stood here. Raises InputError for a bare plan."""
        self._storage = None
        views = views_of(plan, profile)
        tables = "".join(
            f"<details><summary>{key} as a table</summary>{table.html()}</details>"
            for key, table in views.tables().items()
        )
        self._tables.value = tables
        if not self._live:
            drawn = pictures_of(views)
            self._still.value = "".join(drawn[key] for key in KEYS if key in drawn)
        else:
            self._draw(_arranged(plan, profile, self._listen))
        figures = self._figures if self._live else self._still
        self.children = (self._why, figures, self._tables)

    def select(self, storage: int | None) -> None:
        """Select a storage in every figure."""
        from roam_lab.report.figures import select

        self._storage = storage
        if self._figures is not None:
            select(self._figures._model, storage)

    def _listen(self, storage: int | None) -> None:
        self._storage = storage
        self._refresh()
        self._selected(storage)

    def _draw(self, model: Any) -> None:
        from jupyter_bokeh.widgets import BokehModel

        if self._figures is None:
            self._figures = BokehModel(model, combine_events=True)
            return
        old = self._figures._document
        self._figures.update_from_model(model)
        if old is not None:
            old.remove_on_change(self._figures)

    def _refresh(self) -> None:
        """What a page that is loaded again will draw; set past the traits, as the open page is up to date.

        jupyter_bokeh has no public way to do so (pinned below 5 for that).
        """
        self._figures._trait_values["render_bundle"] = self._figures._model_to_traits(self._figures._model)


def load_bokeh() -> None:
    """Put BokehJS into the page, from the notebook itself, without the parts that these figures do not use."""
    from bokeh.io import output_notebook

    from roam_lab.report.figures import resources

    output_notebook(resources=resources(), hide_banner=True)


def _arranged(plan: Plan, profile: Profile | None, listen: Callable[[int | None], None]) -> Any:
    from bokeh.layouts import column, row

    from roam_lab.report.figures import linked, on_select

    figures = linked(plan, profile)
    side = [figures["memory"], figures["arena"]]
    below = [figures[key] for key in ("alive", "tasks") if key in figures]
    model = column(figures["selected"], row(figures["graph"], column(*side)), row(*below))
    on_select(model, listen)
    return model
