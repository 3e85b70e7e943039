"""The page as a whole: what decides comes first, technical details last."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from roam_lab.errors import InputError
from roam_lab.ir import write_text
from roam_lab.report.brief import sections
from roam_lab.report.brief.decision import Decision, decide
from roam_lab.report.brief.engineers import technical
from roam_lab.report.brief.prices import Prices
from roam_lab.report.export import check_free
from roam_lab.report.pictures import Picture
from roam_lab.report.pictures import pictures as drawn_of
from roam_lab.report.pictures.sizes import sizes_picture
from roam_lab.report.pictures.ways import ways_picture
from roam_lab.report.safe_text import xml_text
from roam_lab.report.views.sizes import sizes_view
from roam_lab.report.views.table import Table
from roam_lab.report.views.ways import Bar, ways_view

if TYPE_CHECKING:
    from roam_lab.plan import Plan, Profile
    from roam_lab.plan.fit import Fit
    from roam_lab.plan.frontier import Frontier
    from roam_lab.runtime.verification import Verification


CAPTIONS = {
    "frontier": "Memory against extra time: what rewriting can do, eager and checkpointing beside it; predicted.",
    "memory": "Memory over the step, above what is always there; predicted unless it says measured.",
    "arena": "The arena: when and where each tensor lies.",
    "graph": "The step, folded by module: what forward keeps for backward.",
    "alive": "The largest tensors alive at the two peaks.",
}


def write_brief(
    path: str | os.PathLike[str],
    plan: Plan,
    *,
    force: bool = False,
    profile: Profile | None = None,
    frontier: Frontier | None = None,
    pictures: Sequence[tuple[str, str]] | None = None,
    **parts: Any,
) -> None:
    """Write `brief_html` to `path`, with every picture of the plan unless `pictures` are given.

    Raises InputError for a bare plan, another ending than .html, or a frontier of another step; OutputError if the file
    is there already and not `force`.
    """
    if not os.fspath(path).endswith((".html", ".htm")):
        raise InputError(f"{os.fspath(path)}: a report's file must end in .html; name it so")
    check_free(path, force)
    if frontier is not None and frontier.graph_sha256 not in ("", plan.graph_sha256):
        raise InputError(
            f"{frontier.name}: this frontier is of another step than the plan; make it of the plan's graph"
        )
    made = drawn_of(plan, profile, frontier=frontier)
    drawn = pictures or [(CAPTIONS[key], made[key]) for key in CAPTIONS if key in made]
    write_text(path, brief_html(plan, profile=profile, frontier=frontier, pictures=drawn, **parts))


def brief_html(
    plan: Plan,
    *,
    profile: Profile | None = None,
    fit: Fit | None = None,
    batch: int | None = None,
    verification: Verification | None = None,
    frontier: Frontier | None = None,
    prices: Prices | None = None,
    pictures: Sequence[tuple[str, str]] = (),
) -> str:
    """One self-contained HTML document about `plan`; it loads nothing and works offline.

    `fit`: needs over batch sizes or sequence lengths, for the picture on top and the largest that fits (without it,
    this step alone is compared). `batch`: the size that was planned. `verification`: what was measured. `frontier`:
    knows what PyTorch offers itself. `prices`: instead of the examples; all are inputs of the page, and editing one
    works costs out anew. `pictures`: (caption, inline SVG) for the technical part. Raises InputError for a bare
    plan, or prices of unknown GPUs.
    """
    paid = prices or Prices()
    decision = decide(plan, profile, fit, frontier, batch)
    decision = replace(decision, devices=paid.of(decision.devices))
    name = decision.name or "training step"
    picture, twin = _on_top(decision, fit)
    parts = [
        sections.headline(decision, plan, verification, profile),
        f"<figure>{picture}<figcaption>{_twin(twin)}</figcaption></figure>",
        sections.cards(decision, plan, profile),
        sections.gpus(decision, paid),
        sections.ways(decision),
        sections.largest(fit),
        sections.sources(decision, plan, profile, fit, verification),
        technical(plan, profile, pictures),
        sections.figures(decision),
    ]
    text = files("roam_lab.report.brief")
    style, script = ((text / name).read_text("utf-8") for name in ("style.css", "money.js"))
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            # Nothing may be loaded or sent, whatever a name in the plan holds
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
            "script-src 'unsafe-inline'; img-src data:\">",
            f"<title>{xml_text(name)}: memory of training</title><style>{style}</style></head><body><main>",
            f"<h1>{xml_text(name)}: memory of one training step</h1>",
            *parts,
            f"</main><script>{script}</script></body></html>\n",
        ]
    )


def _on_top(decision: Decision, fit: Fit | None) -> tuple[Picture, Table]:
    """The picture on top, and the same as a table: memory over sizes, or without a fit a bar for each way to run it."""
    if fit is not None:
        ring = None if decision.size is None else (decision.size, decision.plan.whole_bytes)
        view = sizes_view(replace(fit, name=decision.name or fit.name), ring)
        return sizes_picture(view), view.table
    bars = [Bar(way.name, way.whole_bytes, way.how, way.ours) for way in decision.ways]
    seen = ways_view(decision.name, bars, decision.devices)
    return ways_picture(seen), seen.table


def _twin(table: Table) -> str:
    return f'<details><summary>The same as a table</summary><div class="scroll">{table.html()}</div></details>'
