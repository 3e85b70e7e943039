"""The table of what-ifs as widgets: a button a row opens it, pins it as baseline, or takes it out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as widgets

from roam_lab.report.legal import xml_text
from roam_lab.report.whatifs import COLUMNS, WhatIfs

GRID = f"150px repeat({len(COLUMNS) - 1}, minmax(62px, auto)) 34px 34px"


class WhatIfTable(widgets.GridBox):  # type: ignore[misc]
    """A row for each what-if. `opened`, `pinned` and `removed` hear its name."""

    def __init__(
        self,
        opened: Callable[[str], None],
        pinned: Callable[[str], None],
        removed: Callable[[str], None],
    ) -> None:
        self._opened, self._pinned, self._removed = opened, pinned, removed
        super().__init__([], layout={"grid_template_columns": GRID, "overflow": "auto", "align_items": "center"})

    def show(self, rows: WhatIfs, chosen: str | None) -> None:
        """Draw the rows; the chosen one is marked."""
        cells: list[Any] = [_text(f"<b>{xml_text(title)}</b>") for title in (*COLUMNS, "", "")]
        for row, line in zip(rows, rows.table(), strict=True):
            pinned = line[0].startswith("★")
            name = _button(line[0], f"show {row.name}", partial(self._opened, row.name), "140px")
            name.button_style = "info" if row.name == chosen else ""
            cells.append(name)
            cells += [_text(xml_text(cell)) for cell in line[1:]]
            pin = _button("★", f"compare with {row.name}", partial(self._pinned, row.name))
            pin.disabled = pinned
            cells += [pin, _button("✕", f"remove {row.name}", partial(self._removed, row.name))]
        self.children = tuple(cells)


def _text(html: str) -> Any:
    return widgets.HTML(html)


def _button(text: str, tooltip: str, pressed: Callable[[], None], width: str = "30px") -> Any:
    button = widgets.Button(description=text, tooltip=tooltip, layout={"width": width, "padding": "0 2px"})
    button.on_click(lambda _: pressed())
    return button
