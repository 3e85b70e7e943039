"""The technical part of the page. All text from plans passes through `xml_text`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from roam_lab.ir import captured_order
from roam_lab.report.brief.html import cell
from roam_lab.report.graphs import graph_of
from roam_lab.report.rows import alive_at_peak
from roam_lab.report.safe_text import xml_text
from roam_lab.report.text import plan_text
from roam_lab.report.units import bytes_text, exact_text
from roam_lab.report.views.rewrites import rewrites_table

if TYPE_CHECKING:
    from roam_lab.plan import Plan, Profile


def technical(plan: Plan, profile: Profile | None, pictures: Sequence[tuple[str, str]]) -> str:
    """Pictures, the plan's own report, and the largest of what is alive at both peaks."""
    graph = graph_of(plan)
    parts = ["<h2>For engineers</h2>"]
    parts += [f"<figure>{svg}<figcaption>{xml_text(caption)}</figcaption></figure>" for caption, svg in pictures]
    if plan.rewrites:
        parts.append(f'<h2>Rewriting</h2>\n<div class="scroll">{rewrites_table(plan).html()}</div>')
    parts.append(f"<pre>{xml_text(plan_text(plan, profile))}</pre>")
    peaks = [("captured peak (planned graph)", captured_order(graph)), ("planned peak", plan.order)]
    for what, order in peaks[1 if plan.rewrites else 0 :]:  # the captured order of a rewritten graph is the plan's
        alive = alive_at_peak(graph, order)
        if alive:
            lines = "".join(
                f"<tr>{cell(one.op)}{cell(bytes_text(one.size_bytes))}{cell(exact_text(one.size_bytes))}"
                f"{cell(one.kind)}{cell(one.module)}{cell(one.source)}</tr>"
                for one in alive
            )
            parts += [
                f"<h2>Alive at the {what}</h2>",
                '<div class="scroll"><table><tr><th>made by</th><th>size</th><th>bytes</th><th>kind</th><th>module</th>'
                f"<th>source</th></tr>{lines}</table></div>",
            ]
    return "\n".join(parts)
