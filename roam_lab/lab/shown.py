"""What a cell shows: pictures that need no script, with the same as text for every other front end."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from IPython.display import display

from roam_lab.plan.plan import plan_to_data
from roam_lab.report.frontier import frontier_text
from roam_lab.report.pictures import frontier_picture, plan_picture, profile_picture
from roam_lab.report.rows import graph_of
from roam_lab.report.text import plan_text, profile_text
from roam_lab.report.units import bytes_text
from roam_lab.report.views.frontier import frontier_view
from roam_lab.report.whatif_html import tables_html
from roam_lab.report.whatifs import WhatIf, WhatIfs

if TYPE_CHECKING:
    from roam_lab.plan import Plan, Profile
    from roam_lab.plan.frontier import Frontier
    from roam_lab.runtime.measured_run import RunFigures

PRE = "font:12px/1.35 ui-monospace,Menlo,Consolas,monospace;white-space:pre;overflow-x:auto"
"""Columns stay columns, also in a notebook that was turned into a page."""
WRAP = "white-space:pre-wrap"
PLAN_MIME = "application/vnd.roam.plan+json"
"""What JupyterLab's viewer of plans, in labextension/, is asked for."""


class Shown:
    """A report in the notebook: plain text, and the same below its picture as HTML. Its repr is the text."""

    def __init__(self, text: str, svg: str) -> None:
        self.text = text
        self.svg = svg

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        lines = "\n".join(map(_wrapped, self.text.splitlines()))
        return f'{self.svg}<pre style="{PRE}">{lines}</pre>'


def _wrapped(line: str) -> str:
    """Rows of columns are indented and stay one line each; sentences break where the page ends."""
    return escape(line) if line[:1] in ("", " ") else f'<span style="{WRAP}">{escape(line)}</span>'


class PlanView:
    """A plan for JupyterLab's viewer, with picture and text beside it for front ends that have none."""

    def __init__(self, plan: Plan) -> None:
        graph_of(plan)
        self.plan = plan

    def __repr__(self) -> str:
        return repr(self.plan)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        still = plan_shown(self.plan)
        return {PLAN_MIME: plan_to_data(self.plan), "text/html": still._repr_html_(), "text/plain": repr(still)}


class Place:
    """One output of a cell; what is shown again replaces what stood there."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, report: Any) -> None:
        """Show `report` here."""
        if self._handle is None:
            self._handle = display(report, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(report)


def profile_shown(profile: Profile) -> Shown:
    """A captured step: its curve and figures."""
    return Shown(profile_text(profile), profile_picture(profile))


def plan_shown(plan: Plan, profile: Profile | None = None, before: str = "") -> Shown:
    """A plan: captured and planned curves and its figures; `before`: text to stand above them."""
    text = plan_text(plan, profile)
    return Shown(f"{before}\n\n{text}" if before else text, plan_picture(plan, profile))


def frontier_shown(found: Frontier) -> Shown:
    """What rewriting can do: the figure of memory against extra time, and its points."""
    return Shown(frontier_text(found), frontier_picture(frontier_view(found)))


def compare_shown(rows: WhatIfs) -> Shown:
    """What-ifs side by side as a table."""
    return _Table(rows.text(), tables_html(rows))


class _Table(Shown):
    """A table is its own picture: the text is for other front ends only."""

    def _repr_html_(self) -> str:
        return self.svg


def run_text(row: WhatIf, figures: RunFigures) -> str:
    """What a measured run took, in one line."""
    return (
        f"{row.name}: {len(figures.losses)} planned steps on copies of model and optimizer, "
        f"{bytes_text(figures.peak_above_base_bytes)} above base at most ({figures.how}), arena "
        f"{bytes_text(row.plan.arena_bytes)}, median step {figures.median_step_seconds:.3f} s, "
        f"last loss {figures.losses[-1]:.6g}"
    )
