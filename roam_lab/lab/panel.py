"""`%roam lab`: try strategies and granularity, see the figures, compare what-ifs, run, verify, export."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from roam_lab.errors import RoamError
from roam_lab.lab.background import Background
from roam_lab.lab.controls import Controls
from roam_lab.lab.figure_area import FigureArea, load_bokeh
from roam_lab.lab.head import head_html
from roam_lab.lab.host import host
from roam_lab.lab.table import WhatIfTable
from roam_lab.lab.thread_task import ThreadTask
from roam_lab.progress import Progress
from roam_lab.report.export import export
from roam_lab.report.legal import xml_text
from roam_lab.report.units import bytes_text
from roam_lab.rewrite.kinds import default_kinds

if TYPE_CHECKING:
    from roam_lab.plan import Plan
    from roam_lab.plan.frontier import Frontier
    from roam_lab.workbench import Workbench


class Lab(widgets.VBox):  # type: ignore[misc]
    """The panel over one profile of a workbench. `chosen` names the what-if that the figures show."""

    def __init__(self, bench: Workbench, profile: str | None = None) -> None:
        self.bench = bench
        self.profile = bench.profile_named(profile)
        self._name = next((name for name, known in bench.profiles.items() if known is self.profile), "")
        latest = bench.latest_of(self.profile)
        self.chosen: str | None = latest.name if latest else None
        self.background = Background(self._planned, self._failed)
        self.frontiers: dict[str, Frontier] = {}
        """By what was asked for."""
        self._frontier: Frontier | None = None
        self._sought = ""
        self.task: ThreadTask | None = None
        self.controls = Controls(self.ask, default_kinds(self.profile.graph))
        here = host()
        if here.bokeh:
            load_bokeh()
        self.figures = FigureArea(here, lambda storage: None, self.controls.goals.take_time)
        self.table = WhatIfTable(self.choose, self.pin, self.remove)
        self.cards = widgets.HTML()
        self.status = widgets.HTML()
        self.bar = widgets.FloatProgress(min=0, max=1, layout={"width": "160px", "display": "none"})
        self.cancel_button = self._button("Cancel", self.cancel, "stop what runs")
        self.path = widgets.Text(
            value="plan.roam.json", placeholder="plan.roam.json, .svg, .csv, ...", layout={"width": "200px"}
        )
        self.force = widgets.Checkbox(value=False, description="overwrite", indent=False, layout={"width": "100px"})
        actions = [
            self._button("Plan", self.ask, "plan with these settings"),
            self._button("Run", self.run, "run four planned steps on copies, and measure them"),
            self._button("Verify", self.verify, "eager against planned, bit for bit, on copies"),
            self.cancel_button,
            self.path,
            self.force,
            self._button("Export", self.export, "write the shown plan; the ending decides the form"),
        ]
        actions[0].button_style = "primary"
        bar = widgets.HBox(actions, layout={"flex_flow": "row wrap", "align_items": "center", "margin": "6px 0 0 0"})
        below = widgets.HBox([self.bar, self.status], layout={"min_height": "28px", "align_items": "center"})
        super().__init__([self.cards, self.controls, bar, below, self.table, self.figures])
        self._idle()
        if self.chosen is None:
            self.ask()
        else:
            self._show()

    def __repr__(self) -> str:
        """What stands where widgets cannot be shown; they cut it at 110 letters."""
        return f"roam lab: the panel over {self.profile.graph.name!r}, showing {self.chosen or 'no plan yet'}"

    def ask(self, *_: Any) -> None:
        """Plan with the present settings, beside the kernel."""
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
        self._working(f"planning with order {settings['order']}, layout {settings['layout']}{rewriting}")
        self._limit, self._asked = settings.get("node_limit"), settings["order"]
        self.background.ask(self.profile.graph, {**settings, "environment": dict(self.profile.environment)})

    def cancel(self, *_: Any) -> None:
        """Stop planning at once, a run after its present step."""
        self.background.cancel()
        if self.task is not None:
            self.task.cancel()
            self.task = None
        self._idle("cancelled; what was there before still is")

    def choose(self, name: str) -> None:
        """Show another what-if in the figures."""
        self.chosen = name
        self._show()

    def pin(self, name: str) -> None:
        """Compare all others with this one."""
        self.bench.what_ifs.pin(name)
        self._show_table()

    def remove(self, name: str) -> None:
        """Take a what-if out of the table."""
        self.bench.what_ifs.remove(name)
        if self.chosen == name:
            self.chosen = next((row.name for row in self.bench.what_ifs), None)
            self._show()
        self._show_table()

    def run(self, *_: Any) -> None:
        """Run the shown plan on copies, and note what it took."""
        self._in_thread(lambda name: self.bench.measure(name))

    def verify(self, *_: Any) -> None:
        """Eager against the shown plan on copies, and note what came out."""
        self._in_thread(lambda name: self.bench.verify_named(name))

    def export(self, *_: Any) -> None:
        """Write the shown plan to the path beside the button."""
        if self.chosen is None:
            return self._failed("there is no plan to export yet; press Plan first")
        try:
            export(self.bench.what_ifs[self.chosen].plan, self.path.value, self.force.value)
        except RoamError as error:
            return self._failed(str(error).replace("add --force", "tick overwrite"))
        return self._idle(f"wrote {self.path.value}")

    def close(self) -> None:
        """End the process that plans."""
        self.cancel()
        self.background.close()
        self.figures.close()
        super().close()

    def _in_thread(self, act: Callable[[str], tuple[Any, Any]]) -> None:
        if self.chosen is None or self.task is not None:
            return
        name = self.chosen

        def work(progress: Progress) -> tuple[Any, Any]:
            self.bench.progress = progress
            return act(name)

        self._working(f"{name}: copying model and optimizer")
        self.task = ThreadTask(work, self._measured, self._failed, self._working)

    def _measured(self, result: tuple[Any, Any]) -> None:
        row, found = result
        self.task = None
        lines = found.lines() if hasattr(found, "lines") else []
        self._idle("; ".join(lines[:1]) or f"{row.name}: {bytes_text(row.measured_peak_bytes)} above base, measured")
        self._show_table()

    def _planned(self, plan: Plan) -> None:
        self.chosen = self.bench.keep(plan, None, self.profile, self._limit, asked=self._asked).name
        better = plan.order_strategy != self._asked and not plan.rewrites
        self._idle(
            f"order {self._asked} is worse than {plan.order_strategy} here, which the plan keeps" if better else ""
        )
        self._show()
        if self.controls.goals.active:
            self._find()

    def _find(self) -> None:
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
        self._working(f"looking for what rewriting by {asked['strategy']} can do: memory against extra time")
        self.background.ask_frontier(self.profile.graph, asked, self._found)

    def _found(self, frontier: Frontier) -> None:
        goals = self.controls.goals
        self.frontiers[self._sought] = self._frontier = frontier
        self.bench.frontiers[self._name] = frontier
        waited = goals.needs_range
        goals.set_range(frontier)
        self._idle()
        if waited:
            self.ask()
        else:
            self._show()

    def _failed(self, sentence: str) -> None:
        self.task = None
        self._idle()
        self.status.value = f'<span style="color:#c0392b" role="alert">roam: {xml_text(sentence)}</span>'

    def _working(self, what: str, part: float = 0.0) -> None:
        self.bar.layout.display = None
        self.bar.value = part or 0.05
        self.cancel_button.disabled = False
        self.status.value = f'<span role="status">{xml_text(what)} ...</span>'

    def _idle(self, told: str = "") -> None:
        self.bar.layout.display = "none"
        self.cancel_button.disabled = True
        self.status.value = f'<span role="status">{xml_text(told)}</span>'

    def _show(self) -> None:
        if self.chosen is not None:
            plan = self.bench.what_ifs[self.chosen].plan
            profile = self.bench.profiles.get(self.bench.of.get(self.chosen, ""))
            others = [row.plan for row in self.bench.what_ifs]
            known = self._frontier if profile is self.profile else None
            self.cards.value = head_html(plan, profile, others, known)
            self._show_table()
            self.figures.show(plan, profile, known)
        else:
            self._show_table()

    def _show_table(self) -> None:
        self.table.show(self.bench.what_ifs, self.chosen)

    def _button(self, text: str, pressed: Callable[[Any], None], tooltip: str) -> Any:
        button = widgets.Button(description=text, tooltip=tooltip, layout={"width": "auto"})
        button.on_click(pressed)
        return button
