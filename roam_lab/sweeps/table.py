"""The rows of a sweep as a table: for a terminal, for a notebook, as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from roam_lab.report.html_table import html_table
from roam_lab.report.rewrites import kind_name, signed_bytes
from roam_lab.report.safe_text import printable
from roam_lab.report.text import table
from roam_lab.report.units import bytes_text, change_text
from roam_lab.sweeps.rows import FAILED, INFEASIBLE, PLANNED
from roam_lab.sweeps.rows_file import point_in

COLUMNS = (
    "model", "batch", "sequence", "dtype", "optimizer", "asked", "order", "layout", "limit", "peak", "arena",
    "whole step, eager", "planned", "Δ", "more time", "gap", "plan s", "peak saved by, or why there is no plan",
)  # fmt: skip
NUMBERS = frozenset(COLUMNS) - {"model", "dtype", "optimizer", "asked", "order", "layout", COLUMNS[-1]}


@dataclass(frozen=True, eq=False)
class SweepTable:
    """Rows of a sweep, each of them plain JSON data. In a notebook it is displayed as a table."""

    rows: tuple[dict[str, Any], ...]

    @staticmethod
    def of(rows: Iterable[dict[str, Any]]) -> SweepTable:
        """The rows sorted by their points; if a point has several (its factory has changed meanwhile), the last."""
        latest = {_place(row): row for row in rows}
        return SweepTable(tuple(latest[place] for place in sorted(latest)))

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        head, *lines = self.lines()
        return f'<div style="overflow-x:auto">{html_table(head, lines, _numbers(head))}</div><p>{self.summary()}</p>'

    def to_data(self) -> list[dict[str, Any]]:
        """Plain JSON data, a row for each point; sizes in bytes, times in seconds."""
        return [dict(row) for row in self.rows]

    def lines(self) -> list[tuple[str, ...]]:
        """Headings, then the rows as text; empty columns are left out. Δ is the change of the
        whole step, resident and arena, against eager's."""
        lines = [COLUMNS, *(tuple(map(printable, _line(row))) for row in self.rows)]
        kept = [at for at in range(len(COLUMNS)) if any(line[at] for line in lines[1:])]
        return [tuple(line[at] for at in kept) for line in lines]

    def text(self) -> str:
        """The table as text, and a count of its rows by status."""
        lines = self.lines()
        return f"{table(lines, _numbers(lines[0]))}\n{self.summary()}" if self.rows else self.summary()

    def summary(self) -> str:
        """ "12 points: 9 planned, 2 do not fit, 1 failed"."""
        counts = Counter(row["status"] for row in self.rows)
        words = {PLANNED: "planned", INFEASIBLE: "without a plan that fits", FAILED: "failed"}
        counted = ", ".join(f"{counts[status]:,} {word}" for status, word in words.items() if counts[status])
        return f"{len(self.rows):,} point{'' if len(self.rows) == 1 else 's'}" + (f": {counted}" if counted else "")

    @property
    def failed(self) -> int:
        """How many points have no answer."""
        return sum(row["status"] == FAILED for row in self.rows)


def _numbers(head: Iterable[str]) -> frozenset[int]:
    """Which of the columns hold numbers."""
    return frozenset(at for at, name in enumerate(head) if name in NUMBERS)


def _place(row: dict[str, Any]) -> tuple[tuple[int, Any], ...]:
    """The key with text in place of all but numbers, so that any file's rows can be sorted."""
    return tuple(
        (0, 0) if value is None else (1, value) if isinstance(value, int | float) else (2, str(value))
        for value in point_in(row).values()
    )


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    point = point_in(row)
    batch, sequence = row.get("batch_size") or point["batch"], row.get("sequence_length") or point["sequence"]
    head = (
        point["factory"],
        "" if batch is None else f"{batch:,}",
        "" if sequence is None else f"{sequence:,}",
        point["dtype"] or "",
        point["optimizer"] or "",
        _asked(point),
        point["order"],
        point["layout"],
        "" if point["node_limit"] is None else str(point["node_limit"]),
    )
    if row["status"] != PLANNED:
        return (*head, *[""] * (len(COLUMNS) - len(head) - 1), row["error"])
    peak, bound = row["peak_bytes"], row["lower_bound_bytes"]
    eager = row["step_bytes"] - row["arena_bytes"] + max(row["eager_peak_bytes"], row["captured_peak_bytes"])
    return (
        *head,
        bytes_text(peak),
        bytes_text(row["arena_bytes"]),
        bytes_text(eager),
        bytes_text(row["step_bytes"]),
        change_text(eager, row["step_bytes"]),
        f"{100 * row['extra_time']:.1f} %" if row.get("savings") else "",
        "optimal" if row.get("optimal") else f"{100 * (peak / bound - 1):.2f} %" if bound else "",
        f"{row['seconds']:.2f}",
        ", ".join(f"{kind_name(one['kind'])} {signed_bytes(one['bytes'])}" for one in row.get("savings", ())),
    )


def _asked(point: dict[str, Any]) -> str:
    """The goals: "4.00 GiB", "10 % more time"."""
    goals = [] if point["budget"] is None else [bytes_text(point["budget"])]
    goals += [] if point["extra_time"] is None else [f"{100 * point['extra_time']:g} % time"]
    return ", ".join(goals)
