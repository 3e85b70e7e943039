"""The table of what-ifs as widgets, sorted and filtered; buttons of a row open it, make it the baseline, remove it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as widgets

from roam_lab.report.safe_text import xml_text
from roam_lab.report.whatif_html import ROW_PIXELS, table_html
from roam_lab.report.whatif_table import SORTS, arranged
from roam_lab.report.whatifs import WhatIf, WhatIfs

MOST_ROWS = 200
"""Most rows that are shown, as each has three buttons; the filter finds the others."""
GRID = {
    "grid_template_columns": "minmax(140px, max-content) 34px 34px",
    "grid_auto_rows": f"{ROW_PIXELS}px",
    "grid_gap": "0 2px",
    "align_items": "center",
    "flex": "0 0 auto",
}
CHOSEN = ("#006978", "#ffffff")
"""Background and text colour of the shown row's button: white on JupyterLab's own blue has a contrast of 3.5 only."""
LAYOUT = {"overflow": "auto", "max_height": "310px", "margin": "0 0 10px 0", "align_items": "flex-start"}


class WhatIfTable(widgets.VBox):  # type: ignore[misc]
    """A row for each what-if of one model. `opened`, `pinned` and `removed` are called with its name.

    The cells are one HTML table beside the buttons: a widget for each cell took longer to draw than all figures.
    """

    def __init__(
        self,
        opened: Callable[[str], None],
        pinned: Callable[[str], None],
        removed: Callable[[str], None],
    ) -> None:
        self._heard = (opened, pinned, removed)
        self._known, self._chosen = WhatIfs(), ""
        self._rows: dict[str, tuple[Any, Any, Any]] = {}
        self._heads = [widgets.HTML("<b>what-if</b>"), widgets.HTML(), widgets.HTML()]
        self._buttons = widgets.GridBox(self._heads, layout=GRID)
        self._cells = widgets.HTML(layout={"margin": "0 0 0 12px", "flex": "0 0 auto"})
        label = {"description_width": "initial"}
        self.sort = widgets.Dropdown(options=list(SORTS), description="sort by", style=label, layout={"width": "190px"})
        self.down = widgets.Checkbox(value=False, description="highest first", indent=False, layout={"width": "120px"})
        self.words = widgets.Text(
            placeholder="only rows with these words", description="filter", style=label, layout={"width": "260px"}
        )
        self._count = widgets.HTML()
        for widget in (self.sort, self.down, self.words):
            widget.observe(lambda change: self._draw(), "value")
        tools = [self.sort, self.down, self.words, self._count]
        self._tools = widgets.HBox(tools, layout={"flex_flow": "row wrap", "align_items": "center"})
        super().__init__([self._tools, widgets.HBox([self._buttons, self._cells], layout=LAYOUT)])

    def show(self, rows: WhatIfs, chosen: str | None) -> None:
        """Show the rows of one model; the chosen one is marked."""
        self._known, self._chosen = rows, chosen or ""
        self._draw()

    def _draw(self) -> None:
        found = arranged(self._known.shown(), self.sort.value, self.down.value, self.words.value)
        rows, baseline = found[:MOST_ROWS], self._known.baseline
        eager = next((self._known.eager_of(model) for model in self._known.models), None)
        self._tools.layout.display = None if len(self._known) > 1 else "none"
        self._count.value = (
            f"<small>{len(rows):,} of {len(self._known):,}</small>" if len(rows) < len(self._known) else ""
        )
        self._rows = {row.name: self._rows.get(row.name) or self._row(row) for row in rows}
        for row in rows:
            name, pin, _ = self._rows[row.name]
            pinned = baseline is not None and baseline.name == row.name
            name.description = f"★ {row.name}" if pinned else row.name
            chosen = row.name == self._chosen
            name.button_style = "info" if chosen else ""
            name.style.button_color, name.style.text_color = CHOSEN if chosen else (None, None)
            pin.disabled = pinned or row.figures is None
        above = () if eager is None else self._eager(eager, baseline)
        self._buttons.children = (
            *self._heads,
            *above,
            *(button for buttons in self._rows.values() for button in buttons),
        )
        self._cells.value = table_html([*([eager] if eager else []), *rows], baseline, False, self._chosen)

    def _eager(self, row: WhatIf, baseline: WhatIf | None) -> tuple[Any, Any, Any]:
        """The buttons of eager's row: it can be the baseline, and nothing else."""
        pinned = baseline is not None and baseline.name == row.name
        pin = _button("★", f"compare all with {row.name}", partial(self._heard[1], row.name))
        pin.disabled = pinned
        return widgets.HTML(f"★ {xml_text(row.name)}" if pinned else xml_text(row.name)), pin, widgets.HTML()

    def _row(self, row: WhatIf) -> tuple[Any, Any, Any]:
        opened, pinned, removed = (partial(heard, row.name) for heard in self._heard)
        return (
            _button(row.name, f"show {row.name}", opened, "auto"),
            _button("★", f"compare the others with {row.name}", pinned),
            _button("✕", f"remove {row.name}", removed),
        )


def _button(text: str, tooltip: str, pressed: Callable[[], None], width: str = "30px") -> Any:
    layout = {"width": width, "padding": "0 6px" if width == "auto" else "0"}
    button = widgets.Button(description=text, tooltip=tooltip, layout=layout)
    button.on_click(lambda _: pressed())
    return button
