"""The page as a whole: its parts in the order of who reads them, decision first, technology last."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from roam_lab.errors import InputError
from roam_lab.ir import write_text
from roam_lab.report.brief import sections
from roam_lab.report.export import check_free
from roam_lab.report.legal import xml_text
from roam_lab.report.pictures import pictures
from roam_lab.report.rows import graph_of

if TYPE_CHECKING:
    from roam_lab.plan import Plan, Profile
    from roam_lab.plan.fit import Fit
    from roam_lab.runtime.verification import Verification


CAPTIONS = {
    "frontier": "Memory against extra time: what rewriting can do, eager and checkpointing beside it; predicted.",
    "memory": "Memory over the step, above what is always there; predicted unless it says measured.",
    "arena": "The arena: when and where each tensor lies.",
    "graph": "The step, folded by module: what forward keeps for backward.",
    "alive": "The largest tensors alive at the two peaks.",
}


def write_brief(path: str | os.PathLike[str], plan: Plan, *, force: bool = False, **parts: Any) -> None:
    """Write `brief_html(plan, **parts)` to `path`, with every picture of it unless pictures are given; `frontier`, a
    Frontier of the step, is one more.

    Raises InputError for a bare plan or another ending than .html, OutputError if it is there already and not `force`.
    """
    if not os.fspath(path).endswith((".html", ".htm")):
        raise InputError(f"{os.fspath(path)}: a report's file must end in .html; name it so")
    check_free(path, force)
    made = pictures(plan, parts.get("profile"), frontier=parts.pop("frontier", None))
    drawn = parts.pop("pictures", None) or [(CAPTIONS[key], made[key]) for key in CAPTIONS if key in made]
    write_text(path, brief_html(plan, pictures=drawn, **parts))


def brief_html(
    plan: Plan,
    *,
    profile: Profile | None = None,
    fit: Fit | None = None,
    batch: int | None = None,
    verification: Verification | None = None,
    pictures: Sequence[tuple[str, str]] = (),
) -> str:
    """One self-contained HTML document about `plan`; it loads nothing and works offline.

    `fit`: needs over batch sizes, for the table of GPUs (without it, this step alone is compared). `batch`: the
    batch size that was planned. `verification`: what was measured. `pictures`: (caption, inline SVG) for the technical
    part. Prices are inputs; editing one works the savings out anew, in the page. Raises InputError for a bare plan.
    """
    graph = graph_of(plan)
    name = graph.name or "training step"
    parts = [
        sections.headline(plan, verification),
        sections.cards(plan, profile, verification),
        sections.gpus(plan, fit, batch),
        sections.assumptions(plan, profile, fit, verification),
        sections.technical(plan, profile, pictures),
    ]
    text = files("roam_lab.report.brief")
    style, script = ((text / name).read_text("utf-8") for name in ("style.css", "prices.js"))
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            # Nothing may be loaded or sent, whatever a name in the plan holds
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
            "script-src 'unsafe-inline'; img-src data:\">",
            f"<title>{xml_text(name)}: memory of training</title><style>{style}</style></head><body>",
            f"<h1>{xml_text(name)}: memory of one training step</h1>",
            *parts,
            f"<script>{script}</script></body></html>\n",
        ]
    )
