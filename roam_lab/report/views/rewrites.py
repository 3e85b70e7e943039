"""The bytes that each kind of rewriting saved, and the time it added, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roam_lab.report.rewrites import ON_TOP, kind_name, kind_rows
from roam_lab.report.views.table import Table, Value

if TYPE_CHECKING:
    from roam_lab.plan import Plan


def rewrites_table(plan: Plan) -> Table:
    """A row for each kind of rewriting; no rows where nothing was rewritten."""
    columns = ("rewriting", "ops", "live peak saved, bytes", "time added, %", "note")
    rows: tuple[tuple[Value, ...], ...] = tuple(
        (
            kind_name(row.kind),
            row.ops or None,
            row.saved_bytes,
            None if row.extra_time is None else 100 * row.extra_time,
            row.note,
        )
        for row in kind_rows(plan)
    )
    return Table(f"What each kind of rewriting saved and cost, predicted. {ON_TOP}", columns, rows)
