"""What a cell shows: pictures that need no script, and the same as text for front ends without pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from IPython.display import display

from roam_lab.plan.plan import plan_to_data
from roam_lab.report.frontier import frontier_text
from roam_lab.report.graphs import graph_of
from roam_lab.report.html_table import html_table
from roam_lab.report.pictures import frontier_picture, plan_picture, profile_picture
from roam_lab.report.pictures.canvas import Picture, as_image
from roam_lab.report.pictures.verdict import verdict_picture
from roam_lab.report.rows import short_rows
from roam_lab.report.safe_text import printable
from roam_lab.report.text import plan_text, profile_text, verdict_text
from roam_lab.report.units import bytes_text
from roam_lab.report.views.frontier import frontier_view
from roam_lab.report.views.verdict import profile_verdict_view, verdict_view
from roam_lab.report.whatif_html import tables_html
from roam_lab.report.whatifs import WhatIf, WhatIfs

if TYPE_CHECKING:
    from roam_lab.app.workbench import Workbench
    from roam_lab.plan import Plan, Profile
    from roam_lab.plan.frontier import Frontier
    from roam_lab.report.views.table import Table
    from roam_lab.runtime.measured_run import RunFigures

PRE = "font:12px/1.35 ui-monospace,Menlo,Consolas,monospace;white-space:pre;overflow-x:auto"
"""CSS that keeps columns aligned, also in a notebook that was converted to a page."""
WRAP = "white-space:pre-wrap;word-break:normal;overflow-wrap:anywhere"
"""CSS of a sentence; JupyterLab breaks text of this kind in the middle of words."""
SIZES = (1, 2)
"""Columns of sizes in the small table."""
PLAN_MIME = "application/vnd.roam.plan+json"
"""The mime type of the viewer of plans in labextension/."""


class Shown:
    """A report in the notebook: plain text, and the same below its picture as HTML. Its repr is the text."""

    def __init__(self, text: str, picture: Picture | None = None) -> None:
        self.text = text
        self.picture = picture

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self._image() + _pre(self.text)

    def _image(self) -> str:
        return "" if self.picture is None else as_image(self.picture)


class Verdict(Shown):
    """A verdict: its picture, its sentence and one small table; `folded`: details that open at a click, each
    (title, HTML). `remarks` come between."""

    def __init__(
        self,
        text: str,
        picture: Picture,
        sentence: str,
        rows: Sequence[Sequence[str]],
        remarks: Iterable[str],
        folded: Iterable[tuple[str, str]],
    ) -> None:
        super().__init__(text, picture)
        self._sentence, self._rows, self._remarks, self._folded = sentence, rows, tuple(remarks), tuple(folded)

    def _repr_html_(self) -> str:
        table = html_table(self._rows[0], self._rows[1:], SIZES) if self._rows else ""
        remarks = "".join(f"<li>{escape(printable(remark))}</li>" for remark in self._remarks)
        folded = "".join(f"<details><summary>{escape(title)}</summary>{html}</details>" for title, html in self._folded)
        sentence = f'<p class="roam-verdict"><b>{escape(printable(self._sentence))}</b></p>'
        return f"{self._image()}{sentence}{table}{f'<ul>{remarks}</ul>' if remarks else ''}{folded}"


def _pre(text: str) -> str:
    lines = "\n".join(map(_wrapped, text.splitlines()))
    return f'<pre style="{PRE}">{lines}</pre>'


def _wrapped(line: str) -> str:
    """Indented rows of columns stay one line each; sentences wrap at the width of the page."""
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
    """One output of a cell; each report replaces the one before."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, report: Any) -> None:
        """Show `report` here."""
        if self._handle is None:
            self._handle = display(report, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(report)


def profile_shown(profile: Profile, after: str = "") -> Verdict:
    """A captured step that is not planned: what eager takes of it; `after`: what to do next."""
    view = profile_verdict_view(profile)
    sentence = f"{view.sentence}{f' {after}' if after else ''}"
    folded = [
        _figures(view.table),
        ("Memory over the step", as_image(profile_picture(profile))),
        ("All figures of the step", _pre(profile_text(profile))),
    ]
    text = "\n".join([f"{view.name}: {sentence}", *(f"- {remark}" for remark in profile.differences)])
    return Verdict(printable(text), verdict_picture(view), sentence, (), profile.differences, folded)


def plan_shown(
    plan: Plan,
    profile: Profile | None = None,
    before: str = "",
    others: Iterable[Plan] = (),
    frontier: Frontier | None = None,
) -> Verdict:
    """The verdict on a plan, its details folded; `before`: text above it. `others`, `frontier`: other plans of the same
    step."""
    view = verdict_view(plan, profile, others, frontier)
    folded = [
        _figures(view.table),
        ("Memory over the step", as_image(plan_picture(plan, profile))),
        ("All figures of the plan", _pre(plan_text(plan, profile))),
    ]
    if profile is not None:
        folded.append(("All figures of the step", _pre(profile_text(profile))))
    text = verdict_text(plan, view.sentence, profile)
    remarks = [*([before] if before else []), *(() if profile is None else profile.differences)]
    rows = short_rows(plan, profile)
    return Verdict(
        f"{before}\n\n{text}" if before else text, verdict_picture(view), view.sentence, rows, remarks, folded
    )


def row_shown(bench: Workbench, row: WhatIf, before: str = "") -> Verdict:
    """The verdict on a plan of a workbench, with what is known there of the same step."""
    of = bench.of.get(row.name, "")
    others = [other.held for other in bench.what_ifs.of(row.model) if other.held is not None]
    return plan_shown(bench.what_ifs.proven(row), bench.profile_of(row.name), before, others, bench.frontiers.get(of))


def _figures(table: Table) -> tuple[str, str]:
    return "The bars as a table", table.html()


def frontier_shown(found: Frontier) -> Shown:
    """What rewriting can do: the figure of memory against extra time, and its points."""
    return Shown(frontier_text(found), frontier_picture(frontier_view(found)))


def compare_shown(rows: WhatIfs) -> Shown:
    """What-ifs side by side as a table."""
    return _Table(rows.text(), tables_html(rows))


class _Table(Shown):
    """Text for front ends that cannot show the table."""

    def __init__(self, text: str, html: str) -> None:
        super().__init__(text)
        self._html = html

    def _repr_html_(self) -> str:
        return self._html


def run_text(row: WhatIf, figures: RunFigures) -> str:
    """What a measured run took, in one line."""
    return (
        f"{row.name}: {len(figures.losses)} planned steps on copies of model and optimizer, "
        f"{bytes_text(figures.peak_above_base_bytes)} above base at most ({figures.how}), arena "
        f"{bytes_text(row.plan.arena_bytes)}, median step {figures.median_step_seconds:.3f} s, "
        f"last loss {figures.losses[-1]:.6g}"
    )
