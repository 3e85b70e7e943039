"""`%roam lab`: try strategies and granularity, see the figures, compare what-ifs, run, verify, export."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
from IPython.display import display

from roam_lab.app.host import host
from roam_lab.errors import RoamError
from roam_lab.lab.background import Background
from roam_lab.lab.controls import Controls
from roam_lab.lab.exporting import ExportRow
from roam_lab.lab.figure_area import FigureArea, load_bokeh
from roam_lab.lab.grid import GridRow, folded
from roam_lab.lab.head import head_html
from roam_lab.lab.status import StatusLine
from roam_lab.lab.still import Still, cell_number, panel_report
from roam_lab.lab.table import WhatIfTable
from roam_lab.lab.thread_task import ThreadTask
from roam_lab.progress import Progress
from roam_lab.report.headline import gains_nothing
from roam_lab.report.sentences import kept_order_sentence
from roam_lab.report.units import bytes_text
from roam_lab.report.whatif_table import gains_text
from roam_lab.rewrite.kinds import default_kinds
from roam_lab.sweeps.at_hand import add_what_ifs

if TYPE_CHECKING:
    from roam_lab.app.workbench import Workbench
    from roam_lab.plan import Plan, Profile
    from roam_lab.plan.frontier import Frontier
    from roam_lab.report.whatifs import WhatIf
    from roam_lab.sweeps.points import SweepPoint


class Lab(widgets.VBox):  # type: ignore[misc]
    """The panel over one profile of a workbench. `chosen` names the what-if that the figures show."""

    def __init__(self, bench: Workbench, profile: str | None = None) -> None:
        self.bench = bench
        self.profile = bench.profile_named(profile)
        self.model = bench.name_of(self.profile)
        latest = bench.latest_of(self.profile)
        self.chosen: str | None = latest.name if latest else None
        self.background = Background(self._planned, self._failed)
        self.frontiers: dict[str, Frontier] = {}
        """The panel's frontiers, by the settings that they were found with."""
        self._frontier: Frontier | None = None
        self._sought = ""
        self._asked: dict[str, Any] = {}
        self.task: ThreadTask | None = None
        self.controls = Controls(self.ask, default_kinds(self.profile.graph))
        here = host()
        if here.bokeh:
            load_bokeh()
        self.figures = FigureArea(here, lambda storage: None, self.controls.goals.take_time)
        self.table = WhatIfTable(self.choose, self.pin, self.remove)
        self.cards = widgets.HTML()
        self.cancel_button = _button("Cancel", self.cancel, "stop what runs")
        self.line = StatusLine(self.cancel_button)
        self.exporting = ExportRow(bench, self.line.idle, self._failed)
        self.grid = GridRow(self.model, self.add, self._failed)
        actions = [
            _button("Plan", self.ask, "plan with these settings"),
            _button("Run", self.run, "run four planned steps on copies, and measure them"),
            _button("Verify", self.verify, "eager against planned, bit for bit, on copies"),
            self.cancel_button,
        ]
        actions[0].button_style = "primary"
        bar = widgets.HBox(actions, layout={"flex_flow": "row wrap", "align_items": "center", "margin": "6px 0 0 0"})
        more = folded(self.grid)
        self.still = Still()
        self._shown_in: int | None = None
        hiding = widgets.HTML(self.still.hiding, layout={"display": "none"})
        parts = [self.cards, self.controls, bar, self.line, more, self.table, self.exporting, self.figures, hiding]
        super().__init__(parts)
        if self.chosen is None:
            self.ask()
        else:
            self._show()
            self.line.idle(_hint(self.bench.what_ifs[self.chosen].plan, self.profile))

    def __repr__(self) -> str:
        """The plain text where widgets cannot be shown; ipywidgets cuts it at 110 letters."""
        return f"roam lab: the panel over {self.profile.graph.name!r}, showing {self.chosen or 'no plan yet'}"

    def show_once(self) -> None:
        """Show the panel in the running cell, with a still picture below it; a second time in one cell does nothing."""
        if self._shown_in is None or self._shown_in != cell_number():
            self._shown_in = cell_number()
            display(self._repr_mimebundle_(), raw=True)  # type: ignore[no-untyped-call]
            self._show_still()

    def _ipython_display_(self) -> None:
        """Called by IPython for the value of `%roam lab`, which has shown the panel already."""
        self.show_once()

    def ask(self, *_: Any) -> None:
        """Plan with the present settings, in a process of its own."""
        self.background.cancel()
        try:
            settings = self.controls.settings()
        except RoamError as error:
            self._failed(str(error))
            return
        if self.controls.goals.needs_range:
            self._find()
            return
        rewriting = f", rewriting by {settings['rewrite']}" if self.controls.goals.active else ""
        self.line.working(f"planning with order {settings['order']}, layout {settings['layout']}{rewriting}")
        self._asked = settings
        self.background.ask(self.profile.graph, {**settings, "environment": dict(self.profile.environment)})

    def cancel(self, *_: Any) -> None:
        """Stop planning at once, a run after its present step."""
        self.background.cancel()
        if self.task is not None:
            self.task.cancel()
            self.task = None
        self.line.idle("cancelled; what was there before still is")
        self._follow()

    def choose(self, name: str) -> None:
        """Show another what-if in the figures; from now on actions use it."""
        try:
            self.bench.choose(name).plan  # noqa: B018
        except RoamError as error:
            return self._failed(str(error))
        self.background.cancel()
        self.chosen = name
        self.line.idle()
        self._follow()
        return self._show()

    def pin(self, name: str) -> None:
        """Make this what-if the baseline of the others, and the one that actions use; or eager, which is no plan."""
        if name in self.bench.what_ifs:
            self.bench.pin(name)
        else:
            self.bench.what_ifs.unpin(self.model)
        self._show()

    def remove(self, name: str) -> None:
        """Remove a what-if from the table."""
        self.bench.what_ifs.remove(name)
        if self.chosen == name:
            left = self.bench.latest_of(self.profile)
            self.chosen = left.name if left else None
            self._follow()
            self._show()
        self._show_table()

    def run(self, *_: Any) -> None:
        """Run the shown plan on copies, and note time and memory."""
        self._in_thread("running", lambda name: self.bench.measure(name))

    def verify(self, *_: Any) -> None:
        """Compare eager with the shown plan on copies, and note the result."""
        self._in_thread("verifying", lambda name: self.bench.verify_named(name))

    def add(self, points: list[SweepPoint]) -> None:
        """Plan these points, each captured anew if it changes the step, and add them to the table."""
        if self.task is not None:
            return self._failed("something else runs; wait for it, or press Cancel")

        def work(progress: Progress) -> list[WhatIf]:
            return add_what_ifs(self.bench, self.model, points, progress)

        self.line.working(f"{len(points)} what-ifs")
        self.task = ThreadTask(None, work, self._added, self._task_failed, self._adding, self.cancel)
        return None

    def close(self) -> None:
        """End the planning process."""
        self.cancel()
        self.background.close()
        self.figures.close()
        super().close()

    def _in_thread(self, doing: str, act: Callable[[str], tuple[Any, Any]]) -> None:
        if self.chosen is None or self.task is not None:
            return
        name = self.chosen

        def work(progress: Progress) -> tuple[Any, Any]:
            self.bench.progress = progress
            return act(name)

        self.line.working(f"{name}: copying model and optimizer")
        what, notify = f"{doing} {name!r}", self.line.working
        self.task = ThreadTask(what, work, self._measured, self._task_failed, notify, self.cancel)

    def _adding(self, what: str, part: float) -> None:
        self.line.working(what, part)
        self._show_table()

    def _added(self, rows: list[WhatIf]) -> None:
        self.task = None
        self.line.idle(gains_text(rows, self.bench.what_ifs.baseline_of(self.model)))
        self._show_table()

    def _measured(self, result: tuple[Any, Any]) -> None:
        row, found = result
        self.task = None
        lines = found.lines() if hasattr(found, "lines") else []
        measured = "; ".join(lines[:1]) or f"{bytes_text(row.measured_peak_bytes)} above base, measured"
        self.line.idle(f"{row.name}: {measured}")
        self._show_table()

    def _planned(self, plan: Plan) -> None:
        asked = self._asked
        row = self.bench.keep(plan, None, self.profile, asked.get("node_limit"), asked)
        self.chosen = row.name
        self.line.idle(kept_order_sentence(plan, asked["order"]) or _hint(plan, self.profile))
        self._show()
        if self.controls.goals.active:
            self._find(after_plan=True)

    def _find(self, after_plan: bool = False) -> None:
        """Show what rewriting can do with the present strategy: what is known, or searched for beside the kernel."""
        goals = self.controls.goals
        asked = {
            "strategy": self.controls.rewrite.value,
            "parameters": self.controls.parameters("rewrite"),
            "kinds": goals.allowed,
        }
        self._sought = repr(asked)
        if self._sought in self.frontiers:
            if self.frontiers[self._sought] is not self._frontier or goals.needs_range:
                self._found(self.frontiers[self._sought])
            return
        self.line.working(f"looking for what rewriting by {asked['strategy']} can do: memory against extra time")
        self.background.ask_frontier(self.profile.graph, asked, self._found, after_plan)

    def _found(self, frontier: Frontier) -> None:
        goals = self.controls.goals
        self.frontiers[self._sought] = self._frontier = frontier
        self.bench.frontiers[self.model] = frontier
        waited = goals.needs_range
        goals.set_range(frontier)
        self.line.idle()
        if waited:
            self.ask()
        else:
            self._show()

    def _failed(self, sentence: str) -> None:
        self.line.failed(sentence)

    def _task_failed(self, sentence: str) -> None:
        self.task = None
        self.line.failed(sentence)
        self._show_table()

    def _follow(self) -> None:
        """Set the controls to the settings of the shown plan."""
        if self.chosen is not None:
            row = self.bench.what_ifs[self.chosen]
            self.controls.follow({"order": row.plan.order_strategy, "layout": row.plan.layout_strategy, **row.asked})

    def _show(self) -> None:
        """The figures first, which a page takes longest to paint."""
        if self.chosen is not None:
            plan = self.bench.what_ifs.proven(self.bench.what_ifs[self.chosen])
            profile = self.bench.profile_of(self.chosen)
            known = self._frontier if profile is self.profile else None
            rows, here = self.bench.what_ifs, self.model in self.bench.made
            plans = [row.held for row in rows.of(self.model) if row.held is not None]
            self.figures.show(plan, profile, known, rows.pinned_beside(self.chosen), here)
            self.cards.value = head_html(plan, profile, plans, known)
        self._show_table()

    def _show_table(self) -> None:
        self.table.show(self.bench.what_ifs.of(self.model), self.chosen)
        self.exporting.show(self.chosen)
        if self.still.shown:
            self.still.soon(self._show_still)

    def _show_still(self) -> None:
        """What a saved notebook holds in place of the panel."""
        rows = self.bench.what_ifs.of(self.model)
        if self.chosen is not None:
            profile = self.bench.profile_of(self.chosen)
            self.still.show(panel_report(self.bench.what_ifs[self.chosen], rows, profile))


def _hint(plan: Plan, profile: Profile) -> str:
    """Advice for steps of which the headline says that order gains nothing."""
    nothing = plan.extra_time <= 0 and gains_nothing(plan, profile)
    return "order gains nothing here: open More what-ifs and press What would help? to try what does" if nothing else ""


def _button(text: str, pressed: Callable[[Any], None], tooltip: str) -> Any:
    button = widgets.Button(description=text, tooltip=tooltip, layout={"width": "auto"})
    button.on_click(pressed)
    return button
