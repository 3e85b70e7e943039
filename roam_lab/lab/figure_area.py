"""The part of the panel with its figures: live bokeh figures if the front end can show them, else pictures."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from roam_lab.app.host import Host
from roam_lab.lab.later import Later
from roam_lab.lab.source_code import code_of
from roam_lab.report.pictures import pictures_of
from roam_lab.report.views import Views, views_of
from roam_lab.report.views.details import no_code

if TYPE_CHECKING:
    from roam_lab.plan import Plan, Profile
    from roam_lab.plan.frontier import Frontier
    from roam_lab.report.figures import Stage

KEYS = ("memory", "icicle", "arena", "graph", "frontier", "alive", "tasks")
TABLES_SECONDS = 1.8
"""The folded tables come after all figures."""
NARROW, WIDE = "1 1 460px", "2 1 500px"
"""CSS flex of the graph and of what stands beside it: neither gets less than its pixels, what is left goes 1 to 2."""
WRAPPED: dict[str, str | None] = {"display": "flex", "flex-wrap": "wrap", "gap": "12px"}


class FigureArea(widgets.VBox):  # type: ignore[misc]
    """The linked figures of one plan. `selected(storage)` is called when a storage is clicked (None: selection ended),
    `picked(extra_time)` when a point of the frontier is."""

    def __init__(
        self, host: Host, selected: Callable[[int | None], None], picked: Callable[[float], None] = lambda time: None
    ) -> None:
        self._live = host.bokeh
        self._selected, self._picked = selected, picked
        self._figures: Any = None
        self._storage: int | None = None
        self._tables = widgets.HTML()
        self._later = Later(TABLES_SECONDS)
        self._still = widgets.HTML()
        self._why = widgets.HTML(f"<small>{host.why}</small>" if host.why else "")
        super().__init__([])

    @property
    def storage(self) -> int | None:
        """The selected storage."""
        return self._storage

    def show(
        self,
        plan: Plan,
        profile: Profile | None,
        frontier: Frontier | None = None,
        baseline: tuple[str, Plan] | None = None,
        captured_here: bool = False,
    ) -> None:
        """Draw `plan`, the `frontier` of its step and the curve of a `baseline` in place of the present figures.
        `captured_here`: this kernel captured the step, and so can read its source lines.

        Raises InputError for a bare plan.
        """
        self._storage = None
        views = views_of(plan, profile, frontier=frontier, baseline=baseline)
        if not self._live:
            pictures = pictures_of(views)
            self._still.value = "".join(pictures[key] for key in KEYS if key in pictures)
        else:
            with _no_collection():
                self._draw(views, code_of if captured_here else no_code)
        figures = self._figures if self._live else self._still
        self.children = (self._why, figures, self._tables)
        self._later.call(lambda: self._show_tables(views))

    def _show_tables(self, views: Views) -> None:
        self._tables.value = "".join(
            f"<details><summary>{key} as a table</summary>{table.html()}</details>"
            for key, table in views.tables().items()
        )

    def select(self, storage: int | None) -> None:
        """Select a storage in every figure."""
        from roam_lab.report.figures import select

        self._storage = storage
        if self._figures is not None:
            select(self._figures._model, storage)

    def close(self) -> None:
        """Take the figures out of pages, too."""
        self._later.cancel()
        if self._figures is not None:
            self._figures.close()
        super().close()

    def _listen(self, storage: int | None) -> None:
        self._storage = storage
        self._selected(storage)

    def _draw(self, views: Views, code: Callable[[str], str]) -> None:
        from roam_lab.lab.live_figures import LiveFigures
        from roam_lab.report.figures import on_pick, on_select

        if self._figures is None:
            self._figures = LiveFigures(partial(_arranged, views, code), combine_events=True)
            on_select(self._figures._model, self._listen)
            on_pick(self._figures._model, self._picked)
        else:
            self._figures.replace(partial(_arranged, views, code))


@contextmanager
def _no_collection() -> Iterator[None]:
    """A context without garbage collection, which takes a third of a second in a kernel that has imported torch, and is
    better done after the figures are shown."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def load_bokeh() -> None:
    """Put BokehJS into this output, without the parts that these figures do not use.

    Once for each output: bokeh's own `output_notebook` puts it there twice, in two mime types. Not once a session:
    the page of a saved notebook runs only what its outputs hold, and those of other cells may have been deleted, may
    come later, or may not be drawn before they are scrolled to, while jupyter_bokeh needs BokehJS at once.
    """
    from IPython.display import publish_display_data

    from roam_lab.report.figures import resources

    script = "\n".join(resources().js_raw)
    # BokehJS sets itself on `this`, which is undefined where a front end runs an output's script
    publish_display_data({"application/javascript": f"(function () {{\n{script}\n}}).call(window)"})  # type: ignore[no-untyped-call]


def _arranged(views: Views, code: Callable[[str], str], stage: Stage, below: bool = True) -> Any:
    """Cursor and search at the top; graph and selected storage at the left, memory, icicle and arena at the right, the
    rest below; in a narrow page all in one column.

    Rows wrap by themselves, as flex boxes of the page do, so no width has to be known here. Figures stand in panes, not
    in bokeh's rows and columns: whenever one of those changes a little, bokeh lays out all figures anew. `below`:
    whether to draw what stands below, too, which must be there by then otherwise.
    """
    from roam_lab.report.figures import linked_views

    figures = linked_views(views, places=True, code=code, stage=stage, below=below)
    return stage.once("panel", lambda: _in_rows(figures))


def _in_rows(figures: dict[str, Any]) -> Any:
    from bokeh.layouts import column
    from bokeh.models.ui import Pane

    right = (figures["memory"], figures["icicle"], figures["arena"], figures["frontier"])
    side = Pane(elements=list(right), styles={"flex": WIDE})
    left = Pane(elements=[figures["graph"], figures["selected"]], styles={"flex": NARROW})
    rows = [Pane(elements=[left, side], styles=WRAPPED), figures["alive"], figures["tasks"]]
    every = Pane(elements=[figures["controls"], *rows])
    return column(every, sizing_mode="stretch_width", styles={"width": "100%"})
