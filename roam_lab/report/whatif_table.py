"""The table of what-ifs: its columns, each row as text, sorting and filtering."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from roam_lab.report.sparkline import spark_image, spark_text
from roam_lab.report.units import bytes_text, change_text

if TYPE_CHECKING:
    from roam_lab.report.whatif_figures import Figures
    from roam_lab.report.whatifs import WhatIf

COLUMNS = (
    "name", "memory", "whole step", "Δ step", "peak", "Δ peak", "arena", "Δ arena", "more time", "gap", "batch",
    "sequence", "dtype", "optimizer", "order", "layout", "rewritten", "limit", "goal", "plan s", "measured",
    "step time", "peak saved by",
)  # fmt: skip
"""Each Δ is the difference of the figure before it from that of the pinned row, or of eager where none is pinned."""
WORDS = frozenset(("name", "dtype", "optimizer", "order", "layout", "rewritten", "goal", "memory", "peak saved by"))
"""Columns of text; the others hold numbers and stand at the right."""
CHANGES = ("batch", "sequence", "dtype", "optimizer")
"""What a what-if may change of the step itself, which is then captured anew."""
SETTINGS = (*CHANGES, "order", "layout", "rewritten", "limit")
"""What was asked for, in words."""
REWRITTEN = COLUMNS.index("rewritten")
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
    """One row as text; `top`: the bytes at the top of its sparkline."""
    pinned = baseline is not None and baseline.name == row.name
    cells = dict.fromkeys(COLUMNS, "")
    cells["name"] = ("★ " if pinned else "") + row.name
    cells["goal"] = goals_text(row.asked.get("budget"), row.asked.get("extra_time"))
    cells["limit"] = "" if row.node_limit is None else str(row.node_limit)
    cells |= {key: _short(row.asked[key]) for key in CHANGES if row.asked.get(key) is not None}
    figures = row.figures
    if figures is None:
        cells["peak saved by"] = row.error
        return tuple(cells.values())
    before = None if pinned or baseline is None else baseline.figures
    sizes = {"step": figures.step_bytes, "peak": figures.peak_bytes}
    if figures.planned:
        sizes["arena"] = figures.arena_bytes
    for key, size in sizes.items():
        if size is not None:
            cells["whole step" if key == "step" else key] = bytes_text(size)
            cells[f"Δ {key}"] = "" if before is None else _change(before, key, size)
    cells["memory"] = spark_text(figures.curve, top)
    if not figures.planned:
        return tuple(cells.values())
    cells |= {"order": figures.order, "layout": figures.layout, "rewritten": figures.rewritten, "gap": figures.gap_text}
    cells["more time"] = f"{100 * figures.extra_time:.1f} %" if figures.rewritten else ""
    cells["plan s"] = f"{figures.seconds:.2f}"
    if row.measured_peak_bytes is not None:
        bits = {True: ", same bits", False: ", other bits", None: ""}[row.identical]
        cells["measured"] = bytes_text(row.measured_peak_bytes) + bits
    cells["step time"] = "" if row.time_ratio is None else f"{row.time_ratio:.2f} x eager"
    cells["peak saved by"] = figures.saved
    return tuple(cells.values())


def gains_text(rows: Sequence[WhatIf], baseline: WhatIf | None) -> str:
    """What the best of these what-ifs gain over the baseline, each by what was changed: "bfloat16: whole step 1.0 MiB
    (-48.8 %)"; and how many failed."""
    before = baseline.figures.step_bytes if baseline and baseline.figures else None
    found = [(row, row.figures.step_bytes) for row in rows if row.figures and row.figures.step_bytes is not None]
    found.sort(key=lambda pair: pair[1])
    parts = [
        f"{row.name}: whole step {bytes_text(size)}" + (f" ({change_text(before, size)})" if before else "")
        for row, size in found[:3]
    ]
    failed = sum(row.figures is None for row in rows)
    if failed:
        parts.append(f"{failed} of {len(rows)} failed, as their rows say")
    return "; ".join(parts)


def goals_text(budget: int | None, extra_time: float | None) -> str:
    """The goals of a plan: "4.00 GiB", "+5 % time"; "" where there are none, and for an extra time of 0, which is what
    plans have without any."""
    goals = [] if budget is None else [bytes_text(budget)]
    goals += [f"+{100 * extra_time:.3g} % time"] if extra_time else []
    return ", ".join(goals)


def spark_of(row: WhatIf, baseline: WhatIf | None, top: int) -> str:
    """The sparkline as a picture, the baseline's behind it."""
    figures: Figures | None = row.figures
    if figures is None:
        return ""
    ghost = () if baseline is None or baseline.name == row.name or not baseline.figures else baseline.figures.curve
    return spark_image(figures.curve, top, ghost)


def highest_of(rows: Iterable[WhatIf]) -> int:
    """The bytes at the top of every sparkline of a table, the same for all so that heights can be compared."""
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


def alike(rows: Sequence[WhatIf], lines: Sequence[Sequence[str]]) -> dict[int, str]:
    """Columns of settings in which all of several planned rows say the same, and what: a sentence can say it once.
    Of the strategy that rewrites, all that are rewritten: other columns say which, and which add no time ("free")."""
    planned = [line for row, line in zip(rows, lines, strict=True) if row.figures and row.figures.planned]
    said = {COLUMNS.index(name): {line[COLUMNS.index(name)] for line in planned} for name in SETTINGS}
    said[REWRITTEN] -= {"", "free"}
    return {at: one for at, values in said.items() if len(planned) > 1 and len(values) == 1 for one in values if one}


def filled(lines: Sequence[Sequence[str]]) -> list[int]:
    """The columns in which something stands."""
    return [at for at in range(len(COLUMNS)) if any(line[at] for line in lines)]


def _change(before: Figures, key: str, size: int) -> str:
    arena = before.arena_bytes if before.planned else None
    was = {"step": before.step_bytes, "peak": before.peak_bytes, "arena": arena}[key]
    return "" if was is None else change_text(was, size)


def _short(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
