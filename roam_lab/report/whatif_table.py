"""The table of what-ifs: its columns, each row as text, sorting and filtering."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from roam_lab.report.sparkline import spark_svg, spark_text
from roam_lab.report.units import bytes_text, change_text

if TYPE_CHECKING:
    from roam_lab.report.whatif_figures import Figures
    from roam_lab.report.whatifs import WhatIf

COLUMNS = (
    "name", "batch", "sequence", "dtype", "optimizer", "order", "layout", "rewritten", "limit", "asked",
    "whole step", "Δ step", "peak", "Δ peak", "arena", "Δ arena", "more time", "gap", "plan s", "measured", "step time",
    "memory", "peak saved by",
)  # fmt: skip
"""Each Δ is the change of the figure before it, against the pinned row's."""
WORDS = frozenset(("name", "dtype", "optimizer", "order", "layout", "rewritten", "asked", "memory", "peak saved by"))
"""Columns of text; the others hold numbers and stand at the right."""
CHANGES = ("batch", "sequence", "dtype", "optimizer")
"""What the step itself may be captured anew with."""
SORTS: dict[str, Callable[[WhatIf], Any]] = {
    "as made": lambda row: 0,
    "whole step": lambda row: row.figures and row.figures.step_bytes,
    "peak": lambda row: row.figures and row.figures.peak_bytes,
    "arena": lambda row: row.figures and row.figures.arena_bytes,
    "more time": lambda row: row.figures and row.figures.extra_time,
    "batch": lambda row: row.asked.get("batch"),
    "sequence": lambda row: row.asked.get("sequence"),
    "name": lambda row: row.name,
}
"""What rows can be sorted by; rows that lack it come last."""


def lines_of(rows: Sequence[WhatIf], baseline: WhatIf | None) -> list[tuple[str, ...]]:
    """The rows as text under COLUMNS, against the baseline's figures."""
    top = highest_of(rows)
    return [line_of(row, baseline, top) for row in rows]


def line_of(row: WhatIf, baseline: WhatIf | None, top: int) -> tuple[str, ...]:
    """One row as text; `top`: where its sparkline ends, in bytes."""
    pinned = baseline is not None and baseline.name == row.name
    head = (
        ("★ " if pinned else "") + row.name,
        *("" if row.asked.get(key) is None else _short(row.asked[key]) for key in CHANGES),
    )
    figures = row.figures
    if figures is None:
        told = dict.fromkeys(COLUMNS[len(head) :], "") | {"asked": goals_text(row), "peak saved by": row.error}
        return (*head, *told.values())
    before = None if pinned or baseline is None else baseline.figures
    bits = {True: ", same bits", False: ", other bits", None: ""}[row.identical]
    return (
        *head,
        figures.order,
        figures.layout,
        figures.rewritten,
        "" if row.node_limit is None else str(row.node_limit),
        goals_text(row),
        *_with_change(figures.step_bytes, None if before is None else before.step_bytes),
        *_with_change(figures.peak_bytes, None if before is None else before.peak_bytes),
        *_with_change(figures.arena_bytes, None if before is None else before.arena_bytes),
        f"{100 * figures.extra_time:.1f} %" if figures.rewritten else "",
        figures.gap_text,
        f"{figures.seconds:.2f}",
        _measured(row) + bits,
        "" if row.time_ratio is None else f"{row.time_ratio:.2f} x eager",
        spark_text(figures.curve, top),
        figures.saved,
    )


def goals_text(row: WhatIf) -> str:
    """What the plan was to reach: "4.00 GiB", "+5 % time"; "" for neither."""
    budget, extra_time = row.asked.get("budget"), row.asked.get("extra_time")
    goals = [] if budget is None else [bytes_text(budget)]
    goals += [] if extra_time is None else [f"+{100 * extra_time:g} % time"]
    return ", ".join(goals)


def spark_of(row: WhatIf, baseline: WhatIf | None, top: int) -> str:
    """The sparkline as a picture, the baseline's behind it."""
    figures: Figures | None = row.figures
    if figures is None:
        return ""
    ghost = () if baseline is None or baseline.name == row.name or not baseline.figures else baseline.figures.curve
    return spark_svg(figures.curve, top, ghost)


def highest_of(rows: Iterable[WhatIf]) -> int:
    """Bytes at which every sparkline of a table ends, so that their heights can be compared."""
    return max((max(row.figures.curve, default=0) for row in rows if row.figures), default=0)


def arranged(rows: Iterable[WhatIf], sort: str = "as made", down: bool = False, words: str = "") -> list[WhatIf]:
    """Rows that hold every one of the `words` (in any column, upper and lower case alike), sorted by a key of SORTS,
    `down` from the highest."""
    wanted = words.lower().split()
    kept = [row for row in rows if all(word in " ".join(line_of(row, None, 0)).lower() for word in wanted)]
    if sort == "as made":
        return kept[::-1] if down else kept
    known = [row for row in kept if SORTS[sort](row) is not None]
    known.sort(key=SORTS[sort], reverse=down)
    return known + [row for row in kept if SORTS[sort](row) is None]


def filled(lines: Sequence[Sequence[str]]) -> list[int]:
    """The columns in which something stands."""
    return [at for at in range(len(COLUMNS)) if any(line[at] for line in lines)]


def _with_change(now: int | None, before: int | None) -> tuple[str, str]:
    if now is None:
        return "", ""
    return bytes_text(now), "" if before is None else change_text(before, now)


def _measured(row: WhatIf) -> str:
    return "" if row.measured_peak_bytes is None else bytes_text(row.measured_peak_bytes)


def _short(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
