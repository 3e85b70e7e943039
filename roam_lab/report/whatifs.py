"""What-ifs: named plans of one step side by side, against a pinned baseline. Plain data, no widgets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from roam_lab.errors import InputError
from roam_lab.report.rewrites import saved_text
from roam_lab.report.text import table
from roam_lab.report.units import bytes_text, change_text

if TYPE_CHECKING:
    from roam_lab.plan import Plan

COLUMNS = (
    "name",
    "order",
    "layout",
    "rewritten",
    "limit",
    "peak",
    "Δ",
    "arena",
    "more time",
    "gap",
    "plan s",
    "measured",
    "step time",
    "peak saved by",
)


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A named plan. `measured_peak_bytes`, `time_ratio` (planned / eager) and `identical`: once verified or run."""

    name: str
    plan: Plan
    node_limit: int | None = None
    measured_peak_bytes: int | None = None
    time_ratio: float | None = None
    identical: bool | None = None


class WhatIfs:
    """The list that the panel shows. Names are unique; the first plan is the baseline until another is pinned."""

    def __init__(self) -> None:
        self._rows: dict[str, WhatIf] = {}
        self._baseline: str | None = None

    def __iter__(self) -> Iterator[WhatIf]:
        return iter(self._rows.values())

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, name: str) -> WhatIf:
        if name not in self._rows:
            known = ", ".join(self._rows) or "none yet"
            raise InputError(f"there is no what-if {name!r}; there are: {known}")
        return self._rows[name]

    @property
    def baseline(self) -> WhatIf | None:
        """What the deltas compare with."""
        return None if self._baseline is None else self._rows[self._baseline]

    def add(self, plan: Plan, name: str | None = None, node_limit: int | None = None) -> WhatIf:
        """Add `plan` under `name` (None: made from its strategies). The same plan under no name is not added twice."""
        if name is None:
            for row in self:
                if row.plan == plan and row.node_limit == node_limit:
                    return row
            name = self._free_name(plan, node_limit)
        self._rows[name] = WhatIf(name, plan, node_limit)
        if self._baseline is None:
            self._baseline = name
        return self._rows[name]

    def put(self, row: WhatIf) -> None:
        """Take over a row of another list as it is."""
        self._rows[row.name] = row
        self._baseline = self._baseline or row.name

    def pin(self, name: str) -> None:
        """Make `name` the baseline. Raises InputError if it is not there."""
        self._baseline = self[name].name

    def remove(self, name: str) -> None:
        """Take `name` out; if it was the baseline, the first that is left becomes it. Raises InputError."""
        del self._rows[self[name].name]
        if self._baseline == name:
            self._baseline = next(iter(self._rows), None)

    def measured(
        self, name: str, peak_bytes: int | None, time_ratio: float | None = None, identical: bool | None = None
    ) -> WhatIf:
        """Note what a run of `name` took. Raises InputError."""
        row = replace(self[name], measured_peak_bytes=peak_bytes, time_ratio=time_ratio, identical=identical)
        self._rows[name] = row
        return row

    def table(self) -> list[tuple[str, ...]]:
        """The rows as text under COLUMNS; Δ is the arena's change against the baseline's."""
        return [self._line(row) for row in self]

    def text(self) -> str:
        """The table as text, headings first."""
        return table([COLUMNS, *self.table()], right=frozenset(range(COLUMNS.index("limit"), len(COLUMNS) - 1)))

    def to_data(self) -> list[dict[str, Any]]:
        """Plain JSON data, a row for each; sizes in bytes."""
        return [
            {
                "name": row.name,
                "baseline": row is self.baseline,
                "order": row.plan.order_strategy,
                "layout": row.plan.layout_strategy,
                "rewrite": row.plan.rewrite_strategy,
                "extra_time": row.plan.extra_time,
                "savings": [asdict(saving) for saving in row.plan.savings],
                "node_limit": row.node_limit,
                "peak_bytes": row.plan.peak_bytes,
                "lower_bound_bytes": row.plan.lower_bound_bytes,
                "captured_peak_bytes": row.plan.captured_peak_bytes,
                "optimal": row.plan.optimal,
                "arena_bytes": row.plan.arena_bytes,
                "seconds": row.plan.seconds,
                "measured_peak_bytes": row.measured_peak_bytes,
                "time_ratio": row.time_ratio,
                "identical": row.identical,
            }
            for row in self
        ]

    def _line(self, row: WhatIf) -> tuple[str, ...]:
        plan, base = row.plan, self.baseline
        pinned = base is not None and base.name == row.name
        change = "" if base is None or pinned else change_text(base.plan.arena_bytes, plan.arena_bytes)
        bits = {True: ", same bits", False: ", other bits", None: ""}[row.identical]
        return (
            ("★ " if pinned else "") + row.name,
            plan.order_strategy,
            plan.layout_strategy,
            plan.rewrite_strategy if plan.rewrites else "",
            "" if row.node_limit is None else str(row.node_limit),
            bytes_text(plan.peak_bytes),
            change,
            bytes_text(plan.arena_bytes),
            f"{100 * plan.extra_time:.1f} %" if plan.rewrites else "",
            "optimal" if plan.optimal else f"{100 * plan.gap:.2f} %",
            f"{plan.seconds:.2f}",
            "not run" if row.measured_peak_bytes is None else bytes_text(row.measured_peak_bytes) + bits,
            "" if row.time_ratio is None else f"{row.time_ratio:.2f} x eager",
            saved_text(plan),
        )

    def _free_name(self, plan: Plan, node_limit: int | None) -> str:
        stem = (
            f"{plan.rewrite_strategy} {100 * plan.extra_time:+.1f} %"
            if plan.extra_time > 0
            else plan.order_strategy
            if plan.layout_strategy == "auto"
            else f"{plan.order_strategy}/{plan.layout_strategy}"
        )
        if node_limit is not None and plan.extra_time <= 0:
            stem += f"-{node_limit}"
        name, number = stem, 2
        while name in self._rows:
            name, number = f"{stem} ({number})", number + 1
        return name
