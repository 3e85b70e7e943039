"""The row of eager PyTorch in a table of what-ifs: the step without a plan, which plans are compared with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from roam_lab.report.whatif_figures import eager_figures
from roam_lab.report.whatif_table import CHANGES

if TYPE_CHECKING:
    from roam_lab.report.whatifs import WhatIf

EAGER = "eager PyTorch"


def eager_row(rows: Iterable[WhatIf], name: str = EAGER) -> WhatIf | None:
    """A row with eager's figures for the step of `rows`, which are of one model. Where they are of several steps (other
    batches or dtypes), it is the step as it was profiled. None where nothing is known of eager."""
    known = [(row, row.figures) for row in rows if row.figures and row.figures.eager_bytes is not None]
    if not known:
        return None
    row, figures = min(known, key=lambda pair: _distance(pair[0]))
    asked = {key: value for key, value in row.asked.items() if key in CHANGES}
    bare = replace(row, held=None, node_limit=None, measured_peak_bytes=None, time_ratio=None, identical=None)
    return replace(bare, name=name, asked=asked, figures=eager_figures(figures, row.held))


def _distance(row: WhatIf) -> tuple[int, bool, bool]:
    """Sort key: fewest changes of the step first; then rows with a plan, not only its figures; then those without
    rewrites."""
    changed = sum(row.asked.get(key) is not None for key in CHANGES)
    return changed, row.held is None, row.held is not None and bool(row.held.rewrites)
