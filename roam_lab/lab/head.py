"""The head of the panel: the verdict on the shown plan, its sentence, and why no order is lower."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from roam_lab.report.html_table import html_table
from roam_lab.report.pictures.canvas import as_image
from roam_lab.report.pictures.verdict import verdict_picture
from roam_lab.report.rewrites import saved_text
from roam_lab.report.rows import short_rows
from roam_lab.report.safe_text import xml_text
from roam_lab.report.sentences import captured_sentence, certificate_sentence
from roam_lab.report.views.verdict import verdict_view

if TYPE_CHECKING:
    from roam_lab.plan import Plan, Profile
    from roam_lab.plan.frontier import Frontier


def head_html(
    plan: Plan, profile: Profile | None = None, others: Iterable[Plan] = (), frontier: Frontier | None = None
) -> str:
    """As HTML: the sentence, the bars, and, folded, the small table and the proof."""
    view = verdict_view(plan, profile, others, frontier)
    rows = short_rows(plan, profile)
    sentences = [certificate_sentence(plan), captured_sentence(plan, profile)]
    if plan.rewrites:
        sentences.append(f"Saved by {saved_text(plan)}.")
    figures = html_table(rows[0], rows[1:], right=(1, 2))
    return (
        f'<h3 style="margin:4px 0">{xml_text(view.name)}</h3>'
        f'<p class="roam-verdict"><b>{xml_text(view.sentence)}</b></p>'
        f"{as_image(verdict_picture(view))}<details><summary>Figures, and why no order is lower</summary>{figures}"
        f"<small>{xml_text(' '.join(filter(None, sentences)))}</small></details>"
    )
