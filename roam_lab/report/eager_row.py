"""The row of a table of what-ifs that is no plan: the step as eager PyTorch runs it, what plans are compared with."""

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
    """Eager's figures of the step of these rows of one model, under `name`. Where rows are of several steps (other
    batches, dtypes), it is of the one as it was profiled. None where nothing is known of eager."""
    known = [(row, row.figures) for row in rows if row.figures and row.figures.eager_bytes is not None]
    if not known:
        return None
    row, figures = min(known, key=lambda pair: _distance(pair[0]))
    asked = {key: value for key, value in row.asked.items() if key in CHANGES}
    bare = replace(row, held=None, node_limit=None, measured_peak_bytes=None, time_ratio=None, identical=None)
    return replace(bare, name=name, asked=asked, figures=eager_figures(figures, row.held))


def _distance(row: WhatIf) -> tuple[int, bool, bool]:
    """How far a row is from a plan at hand of the profiled step with nothing rewritten."""
    changed = sum(row.asked.get(key) is not None for key in CHANGES)
    return changed, row.held is None, row.held is not None and bool(row.held.rewrites)
