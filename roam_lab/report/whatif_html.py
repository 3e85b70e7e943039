"""The table of what-ifs as HTML, with sparklines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from roam_lab.report.safe_text import xml_text
from roam_lab.report.whatif_table import COLUMNS, WORDS, filled, highest_of, line_of, spark_of

if TYPE_CHECKING:
    from roam_lab.report.whatifs import WhatIf, WhatIfs

ROW_PIXELS = 30
TABLE = "border-collapse:collapse;font-variant-numeric:tabular-nums"
LINE = "border-bottom:1px solid var(--jp-border-color2, #8884)"
MARKED = ";background:var(--jp-layout-color2, #8882)"
HIDDEN = "position:absolute;clip-path:inset(50%);width:1px;"
"""CSS of what screen readers read, and nobody sees."""


def table_html(rows: Sequence[WhatIf], baseline: WhatIf | None, names: bool = True, chosen: str | None = None) -> str:
    """The table of one model's rows, without empty columns. `names`: whether the first column is visible, or only read
    out because buttons beside the table show it."""
    top = highest_of(rows)
    lines = [line_of(row, baseline, top) for row in rows]
    kept = filled(lines)
    head = "".join(_cell("th", xml_text(COLUMNS[at]), at, names) for at in kept)
    body = "".join(
        f'<tr style="height:{ROW_PIXELS}px{MARKED if row.name == chosen else ""}">'
        + "".join(
            _cell("td", spark_of(row, baseline, top) if COLUMNS[at] == "memory" else xml_text(line[at]), at, names)
            for at in kept
        )
        + "</tr>"
        for row, line in zip(rows, lines, strict=True)
    )
    return (
        f'<table class="roam-what-ifs" style="{TABLE}"><thead><tr style="height:{ROW_PIXELS}px">{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def tables_html(rows: WhatIfs) -> str:
    """A table for each model, below its name where there are several."""
    parts = []
    for model in rows.models:
        own = rows.of(model)
        heading = f"<h4>{xml_text(model or 'other plans')}</h4>" if len(rows.models) > 1 else ""
        parts.append(f'{heading}<div style="overflow-x:auto">{table_html(own.lines(), own.baseline)}</div>')
    return "".join(parts)


def _cell(tag: str, content: str, column: int, names: bool) -> str:
    hidden = HIDDEN if column == 0 and not names else ""
    side = "left" if COLUMNS[column] in WORDS else "right"
    return f'<{tag} style="{hidden}text-align:{side};white-space:nowrap;padding:0 8px;{LINE}">{content}</{tag}>'
