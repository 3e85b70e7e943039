"""ROAM's tree of tasks in bokeh: an icicle, the whole step at the top, its leaves at the bottom."""

# bokeh annotates neither its generated initialisers nor the selection_ and nonselection_ properties
# mypy: disable-error-code="arg-type, attr-defined, call-arg"
from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, Text
from bokeh.plotting import figure

from roam_lab.report.figures.parts import EDGES, empty, hatch_over, hover, key_of_looks, rectangles, still, tap_only
from roam_lab.report.figures.selection import carry, connect, new_selection
from roam_lab.report.figures.stage import Stage
from roam_lab.report.figures.theme import Theme, ink_of, plain
from roam_lab.report.units import bytes_text, exact_text
from roam_lab.report.views.look import STATUSES
from roam_lab.report.views.tasks import TasksView

ROW_HEIGHT = 44
NAMED = 0.07
"""Cells are labelled from this width on, a fraction of the figure's."""


def tasks_figure(
    view: TasksView,
    *,
    theme: Theme = "auto",
    selection: ColumnDataSource | None = None,
    stage: Stage | None = None,
) -> figure:
    """The cells of `view`, as wide as their ops; a selected storage marks the leaf that runs its creator."""
    ink, stage = ink_of(theme), stage or Stage()
    cells = view.cells
    drawn = empty(
        stage,
        "tasks",
        view,
        ink,
        view.depth * ROW_HEIGHT + 130,
        "xpan,xwheel_zoom,tap,reset,save",
        x_axis_label="op, in the sequence of the tree",
        x_range=stage.range("roam-tasks.x", 0, max(view.ops, 1), bounded=True),
        y_range=stage.range("roam-tasks.y", -view.depth, 0.1),
        y_axis_type=None,
    )
    for grid in drawn.grid:
        stage.set(grid, visible=False)
    wide = [cell.right - cell.left >= NAMED * max(view.ops, 1) for cell in cells]
    data: dict[str, Any] = {
        "left": [cell.left for cell in cells],
        "right": [cell.right for cell in cells],
        "middle": [(cell.left + cell.right) / 2 for cell in cells],
        "top": [-cell.depth for cell in cells],
        "bottom": [-cell.depth - 0.92 for cell in cells],
        "centre": [-cell.depth - 0.46 for cell in cells],
        "fill": [ink.of(STATUSES[cell.status]) for cell in cells],
        "alpha": [0.65 if cell.leaf else 0.2 for cell in cells],
        "text": [plain(cell.label) if named else "" for cell, named in zip(cells, wide, strict=True)],
        "label": [plain(cell.label) for cell in cells],
        "ops": [cell.right - cell.left for cell in cells],
        "status": [cell.status for cell in cells],
        "solver": [plain(cell.solver or "(none of its own)") for cell in cells],
        "seconds": [cell.seconds for cell in cells],
        "peak": [f"{bytes_text(cell.peak_bytes)} ({exact_text(cell.peak_bytes)})" for cell in cells],
        "storage": np.full(len(cells), -1, np.int32),
    }
    source = stage.source("roam-tasks.data", data, "roam-tasks-data")
    boxes = rectangles(
        stage,
        drawn,
        "boxes",
        source,
        line_color="fill",
        fill_alpha="alpha",
        line_width=0.6,
        selection_line_color=ink.text,
        selection_line_width=3,
        nonselection_line_alpha=0.5,
    )
    leaves = [row for row, cell in enumerate(cells) if cell.leaf]
    edges = {edge: [data[edge][row] for row in leaves] for edge in EDGES}
    hatch_over(stage, drawn, ink, STATUSES, [cells[row].status for row in leaves], edges)
    tap_only(drawn, boxes)
    words = {"text_align": "center", "text_baseline": "middle", "text_color": ink.text, "text_font_size": "11px"}
    still(stage, drawn, "names", lambda: Text(x="middle", y="centre", text="text", **words), source)
    key_of_looks(stage, drawn, ink, STATUSES)
    rows = [
        ("", "@label"),
        ("ops", "@ops{0,0}"),
        ("peak, predicted", "@peak"),
        ("status", "@status"),
        ("solver", "@solver"),
        ("seconds, measured", "@seconds{0.000}"),
    ]
    hover(stage, drawn, "hover", [boxes], rows, point_policy="follow_mouse")
    selection = selection or new_selection(stage=stage)
    carry(stage, drawn, selection)
    connect(stage, selection, source, view.row_of)
    return drawn
