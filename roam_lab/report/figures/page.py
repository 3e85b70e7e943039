"""One HTML page with figures and all that they need: it opens offline, with the tables below the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bokeh.document import Document
from bokeh.embed import components
from bokeh.resources import Resources
from bokeh.settings import settings

from roam_lab.report.figures.theme import alt_text
from roam_lab.report.safe_text import xml_text
from roam_lab.report.views.table import Table

STYLE = """
:root{color-scheme:light dark}
body{font:14px/1.5 system-ui,sans-serif;margin:1.5rem auto;max-width:72rem;padding:0 1rem;background:#fff;color:#222}
figure{margin:1.5rem 0}figure>div{min-height:2rem}
details{margin:.3rem 0 2rem}summary{cursor:pointer}
.roam-table{border-collapse:collapse;font-size:12px;display:block;overflow-x:auto}
.roam-table caption{text-align:left;font-weight:600;padding:.3rem 0}
.roam-table th,.roam-table td{padding:.15rem .6rem;border-bottom:1px solid #8884;text-align:left}
@media (prefers-color-scheme:dark){body{background:#111;color:#eee}}
""".strip()


def resources() -> Resources:
    """BokehJS written into the page, without the parts that these figures do not use."""
    return Resources(mode="inline", components=["bokeh", "bokeh-widgets"])


def page(
    title: str,
    figures: Mapping[str, Any] | Sequence[Any],
    tables: Mapping[str, Table] | None = None,
    dark: bool | None = None,
) -> str:
    """A self-contained HTML document of `figures`, in their order, linked as they were made; it makes no requests.

    `tables`: the table of the figure of the same key, folded up below it. `dark`: the page's own colours;
    None: as the viewer prefers. Names are escaped.
    """
    named = dict(figures) if isinstance(figures, Mapping) else {str(at): one for at, one in enumerate(figures)}
    script, divs = _embedded(named) if named else ("", {})
    parts = []
    for key, div in divs.items():
        alt = alt_text(named[key])
        label = f' role="group" aria-label="{xml_text(alt)}"' if alt else ""
        twin = (tables or {}).get(key)
        table = f"<details><summary>Table</summary>\n{twin.html()}</details>" if twin else ""
        parts.append(f"<figure{label}>{div}</figure>\n{table}")
    forced = {None: "", True: "body{background:#111;color:#eee}", False: "body{background:#fff;color:#222}"}[dark]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{xml_text(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<style>{STYLE}{forced}</style>\n{resources().render()}\n</head>\n'
        f"<body><h1>{xml_text(title)}</h1>\n{''.join(parts)}\n{script}\n</body></html>\n"
    )


def _embedded(named: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The script that draws figures and, for each, the element that it draws in.

    bokeh would walk through all that the linked figures refer to for every pair of them, and once more for each to
    check what they were made with: three quarters of the time of a page.
    """
    if all(one.document is None for one in named.values()):
        document = Document()
        with document.models.freeze():
            for one in named.values():
                document.add_root(one)
    checks = settings.perform_document_validation()
    settings.perform_document_validation.set_value(False)
    try:
        script, divs = components(named)
    finally:
        settings.perform_document_validation.set_value(checks)
    return script, divs
