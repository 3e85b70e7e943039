"""The table of what-ifs as HTML, with sparklines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from roam_lab.report.safe_text import xml_text
from roam_lab.report.whatif_table import COLUMNS, REWRITTEN, WORDS, alike, filled, highest_of, line_of, spark_of

if TYPE_CHECKING:
    from roam_lab.report.whatifs import WhatIf, WhatIfs

ROW_PIXELS = 30
TABLE = "border-collapse:collapse;font-variant-numeric:tabular-nums"
LINE = "border-bottom:1px solid var(--jp-border-color2, #8884)"
MARKED = ";background:var(--jp-layout-color2, #8882)"
LAST, LAST_PIXELS = COLUMNS[-1], 165
"""The column of sentences, which are broken into lines, and pixels that it has at least."""
HIDDEN = "position:absolute;clip-path:inset(50%);width:1px;"
"""CSS of what screen readers read, and nobody sees."""


def table_html(rows: Sequence[WhatIf], baseline: WhatIf | None, names: bool = True, chosen: str | None = None) -> str:
    """The table of one model's rows, without empty columns; settings that all share stand below. `names`: whether the
    first column is visible, or only read out because buttons of the rows' height beside the table show it."""
    top = highest_of(rows)
    lines = [line_of(row, baseline, top) for row in rows]
    shared = alike(rows, lines)
    kept = [at for at in filled(lines) if at not in shared]
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
        f"<tbody>{body}</tbody></table>{_shared_html(shared)}"
    )


def _shared_html(shared: dict[int, str]) -> str:
    if not shared:
        return ""
    settings = ", ".join(f"{COLUMNS[at]} {words}" for at, words in shared.items() if at != REWRITTEN)
    if REWRITTEN in shared:
        settings += f"{'; ' if settings else ''}those that may add time rewritten by {shared[REWRITTEN]}"
    return f'<div style="padding:2px 8px"><small>All plans: {xml_text(settings)}.</small></div>'


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
    broken = COLUMNS[column] == LAST or (tag == "th" and COLUMNS[column] != "plan s")
    style = f"{hidden}text-align:{side};white-space:{'normal' if broken else 'nowrap'};padding:0 6px;{LINE}"
    if COLUMNS[column] == LAST and tag == "td":
        lines = "" if names else f"max-height:{ROW_PIXELS}px;overflow-y:auto;"
        content = f'<div style="{lines}line-height:{ROW_PIXELS // 2}px;min-width:{LAST_PIXELS}px">{content}</div>'
    return f'<{tag} style="{style}">{content}</{tag}>'
