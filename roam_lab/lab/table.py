"""The table of what-ifs as widgets: a button a row opens it, pins it as baseline, or takes it out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as widgets

from roam_lab.report.legal import xml_text
from roam_lab.report.whatifs import COLUMNS, WhatIf, WhatIfs

ROW = "30px"
NUMBERS = range(COLUMNS.index("limit"), len(COLUMNS) - 1)
"""Columns of numbers, told at the right."""
GRID = {
    "grid_template_columns": "minmax(140px, max-content) 34px 34px",
    "grid_auto_rows": ROW,
    "grid_gap": "0 2px",
    "align_items": "center",
    "flex": "0 0 auto",
}
LAYOUT = {"overflow": "auto", "max_height": "280px", "margin": "0 0 10px 0", "align_items": "flex-start"}


class WhatIfTable(widgets.HBox):  # type: ignore[misc]
    """A row for each what-if. `opened`, `pinned` and `removed` hear its name.

    The cells are one HTML table beside the buttons: a widget a cell took the page longer than all figures.
    """

    def __init__(
        self,
        opened: Callable[[str], None],
        pinned: Callable[[str], None],
        removed: Callable[[str], None],
    ) -> None:
        self._heard = (opened, pinned, removed)
        self._rows: dict[str, tuple[Any, Any, Any]] = {}
        self._heads = [widgets.HTML("<b>what-if</b>"), widgets.HTML(), widgets.HTML()]
        self._buttons = widgets.GridBox(self._heads, layout=GRID)
        self._cells = widgets.HTML(layout={"margin": "0 0 0 12px"})
        super().__init__([self._buttons, self._cells], layout=LAYOUT)

    def show(self, rows: WhatIfs, chosen: str | None) -> None:
        """Draw the rows; the chosen one is marked."""
        lines = rows.table()
        self._rows = {row.name: self._rows.get(row.name) or self._row(row) for row in rows}
        for row, line in zip(rows, lines, strict=True):
            name, pin, _ = self._rows[row.name]
            name.description = line[0]
            name.button_style = "info" if row.name == chosen else ""
            pin.disabled = line[0].startswith("★")
        self._buttons.children = (*self._heads, *(button for buttons in self._rows.values() for button in buttons))
        self._cells.value = _html(lines)

    def _row(self, row: WhatIf) -> tuple[Any, Any, Any]:
        opened, pinned, removed = (partial(heard, row.name) for heard in self._heard)
        return (
            _button(row.name, f"show {row.name}", opened, "auto"),
            _button("★", f"compare with {row.name}", pinned),
            _button("✕", f"remove {row.name}", removed),
        )


def _html(lines: list[tuple[str, ...]]) -> str:
    """All columns but the name, which the buttons show; read out with it nonetheless."""
    head = "".join(_cell("th", title, at) for at, title in enumerate(COLUMNS))
    body = "".join(
        f'<tr style="height:{ROW}">{"".join(_cell("td", text, at) for at, text in enumerate(line))}</tr>'
        for line in lines
    )
    return (
        '<table class="roam-what-ifs" style="border-collapse:collapse;font-variant-numeric:tabular-nums">'
        f'<thead><tr style="height:{ROW}">{head}</tr></thead><tbody>{body}</tbody></table>'
    )


def _cell(tag: str, text: str, column: int) -> str:
    hidden = "position:absolute;clip-path:inset(50%);width:1px;" if column == 0 else ""
    side = "right" if column in NUMBERS else "left"
    return (
        f'<{tag} style="{hidden}text-align:{side};white-space:nowrap;padding:0 8px;'
        f'border-bottom:1px solid var(--jp-border-color2, #8884)">{xml_text(text)}</{tag}>'
    )


def _button(text: str, tooltip: str, pressed: Callable[[], None], width: str = "30px") -> Any:
    layout = {"width": width, "padding": "0 6px" if width == "auto" else "0"}
    button = widgets.Button(description=text, tooltip=tooltip, layout=layout)
    button.on_click(lambda _: pressed())
    return button
