"""What-ifs: named plans side by side, a table for each model, against its pinned baseline. Plain data, no widgets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from roam_lab.errors import InputError
from roam_lab.report.eager_row import EAGER, eager_row
from roam_lab.report.text import table
from roam_lab.report.units import bytes_text
from roam_lab.report.whatif_data import row_data
from roam_lab.report.whatif_figures import Figures, figures_of
from roam_lab.report.whatif_table import COLUMNS, WORDS, filled, goals_text, lines_of

if TYPE_CHECKING:
    from roam_lab.plan import Plan


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A named plan of a `model`, or a row of a sweep's file, whose plan is elsewhere (`held` is None then).

    `asked`: what the step was captured anew with (batch, sequence, dtype, optimizer) and the goals (budget in bytes,
    extra_time as a fraction), where they were given. `measured_peak_bytes`, `time_ratio` (planned / eager) and
    `identical`: once verified or run. `error`: why there are no figures.
    """

    name: str
    held: Plan | None
    node_limit: int | None = None
    measured_peak_bytes: int | None = None
    time_ratio: float | None = None
    identical: bool | None = None
    model: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict)
    figures: Figures | None = field(default=None, compare=False)
    error: str = ""

    @property
    def plan(self) -> Plan:
        """The plan. Raises InputError where it is not at hand."""
        if self.held is None:
            raise InputError(f"the plan of {self.name!r} is not here, only its figures; make it with %roam plan")
        return self.held

    def in_words(self) -> str:
        """The row in a few words: "vit: auto, +5 %, whole step 13.9 MiB, verified"."""
        if self.figures is None:
            return f"{self.model}: {self.error}" if self.model else self.error
        step = self.figures.step_bytes
        known = {True: "verified", False: "other bits than eager", None: "not verified"}
        parts = [
            self.figures.order if self.figures.layout == "auto" else f"{self.figures.order}/{self.figures.layout}",
            f"+{100 * self.figures.extra_time:.3g} %" if self.figures.extra_time > 0 else "",
            f"arena {bytes_text(self.figures.arena_bytes)}" if step is None else f"whole step {bytes_text(step)}",
            known[self.identical],
        ]
        return f"{self.model or self.name}: {', '.join(filter(None, parts))}"


class WhatIfs:
    """The list that the panel shows. Names are unique; of each model eager is the baseline until a row is pinned."""

    def __init__(self) -> None:
        self._rows: dict[str, WhatIf] = {}
        self._baselines: dict[str, str] = {}
        """Model -> the name of the row that is pinned."""
        self._graphs: list[Plan] = []
        """A plan for each graph; a row's graph is found once, as comparing graphs takes long."""
        self._graph_of: dict[str, int] = {}

    def __iter__(self) -> Iterator[WhatIf]:
        return iter(list(self._rows.values()))

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def __getitem__(self, name: str) -> WhatIf:
        if name not in self._rows:
            known = ", ".join(self._rows) or "none yet"
            raise InputError(f"there is no what-if {name!r}; there are: {known}")
        return self._rows[name]

    @property
    def models(self) -> list[str]:
        """The models of which there are what-ifs."""
        return list(dict.fromkeys(row.model for row in self))

    @property
    def baseline(self) -> WhatIf | None:
        """What the deltas of the first model's rows compare with; None where there are no rows."""
        return next((self.baseline_of(model) for model in self.models), None)

    def baseline_of(self, model: str) -> WhatIf | None:
        """What the deltas of a model's rows compare with: the pinned row, else eager."""
        return self._rows.get(self._baselines.get(model, "")) or self.eager_of(model)

    def eager_of(self, model: str) -> WhatIf | None:
        """A model's step as eager PyTorch runs it, as a row without a plan; None where that is not known."""
        return eager_row((row for row in self if row.model == model), self.free(EAGER))

    def pinned_beside(self, name: str) -> tuple[str, Plan] | None:
        """Name and plan of the row that is pinned for the model of the row `name`; None where that is the row itself,
        or no plan at hand."""
        row = self._rows.get(self._baselines.get(self[name].model, name))
        return None if row is None or row.held is None or row.name == name else (row.name, row.held)

    def of(self, model: str) -> WhatIfs:
        """The rows of one model, as a list of their own."""
        own = WhatIfs()
        own._rows = {row.name: row for row in self if row.model == model}
        own._baselines = {model: self._baselines[model]} if model in self._baselines else {}
        own._graphs, own._graph_of = self._graphs, self._graph_of
        return own

    def add(
        self,
        plan: Plan,
        name: str | None = None,
        node_limit: int | None = None,
        model: str = "",
        asked: Mapping[str, Any] | None = None,
    ) -> WhatIf:
        """Add `plan` under `name` (None: made from its strategies). The same plan of the same model under no name is
        not added twice."""
        if name is None:
            for row in self:
                if (row.held, row.node_limit, row.model) == (plan, node_limit, model):
                    return row
            name = self._free_name(plan, node_limit, asked or {})
        return self.put(WhatIf(name, plan, node_limit, model=model, asked=asked or {}, figures=figures_of(plan)))

    def put(self, row: WhatIf) -> WhatIf:
        """Add a row as it is, in place of one of the same name."""
        before = self._rows.get(row.name)
        self._rows[row.name] = row
        self._graph_of.pop(row.name, None)
        if row.held is not None:
            self._graph_of[row.name] = self._graph(row.held)
        if before is not None and before.model != row.model:
            self._drop_baseline(before)
        return row

    def take(self, others: WhatIfs) -> None:
        """Add all rows of another list, and its baselines."""
        for row in others:
            self.put(row)
        self._baselines |= others._baselines

    def pin(self, name: str) -> None:
        """Make `name` the baseline of its model. Raises InputError if it is not there."""
        row = self[name]
        self._baselines[row.model] = row.name

    def unpin(self, model: str) -> None:
        """Make eager the baseline of a model."""
        self._baselines.pop(model, None)

    def remove(self, name: str) -> None:
        """Take `name` out; if it was the baseline, eager becomes it. Raises InputError."""
        row = self[name]
        del self._rows[name]
        self._drop_baseline(row)

    def _drop_baseline(self, row: WhatIf) -> None:
        if self._baselines.get(row.model) == row.name:
            self.unpin(row.model)

    def measured(
        self, name: str, peak_bytes: int | None, time_ratio: float | None = None, identical: bool | None = None
    ) -> WhatIf:
        """Note what a run of `name` measured. Raises InputError where there is no such row."""
        row = replace(self[name], measured_peak_bytes=peak_bytes, time_ratio=time_ratio, identical=identical)
        self._rows[name] = row
        return row

    def proven(self, row: WhatIf) -> Plan:
        """The plan of `row` with the best bound that any plan of the graph that it runs has proven. Raises InputError
        where the plan is not at hand."""
        plan, graph = row.plan, self._graph_of.get(row.name)
        bounds = [other.held for other in self if other.held is not None and self._graph_of.get(other.name) == graph]
        best = max(bounds, key=lambda known: known.lower_bound_bytes, default=plan)
        if best.lower_bound_bytes <= plan.lower_bound_bytes:
            return plan
        met = plan.peak_bytes <= best.lower_bound_bytes
        return replace(
            plan,
            lower_bound_bytes=best.lower_bound_bytes,
            certificate=best.certificate,
            optimal=met,
            status="optimal" if met else plan.status,
        )

    def _graph(self, plan: Plan) -> int:
        """The number of the graph that a plan runs."""
        for number, known in enumerate(self._graphs):
            if _same_graph(known, plan):
                return number
        self._graphs.append(plan)
        return len(self._graphs) - 1

    def better(self, row: WhatIf) -> WhatIf | None:
        """The what-if of the same step whose arena is the smallest of those smaller than that of `row` and that take no
        more time; None where there is none."""
        held = row.held
        if held is None:
            return None
        same = (other for other in self if other.held is not None and other.held.graph_sha256 == held.graph_sha256)
        smaller = [
            other
            for other in same
            if other.plan.arena_bytes < held.arena_bytes and other.plan.extra_time <= max(held.extra_time, 0)
        ]
        return min(smaller, key=lambda other: other.plan.arena_bytes, default=None)

    def shown(self) -> list[WhatIf]:
        """The rows with the best bounds of their graphs in their figures."""
        return [row if row.held is None else replace(row, figures=self._figures(row)) for row in self]

    def lines(self) -> list[WhatIf]:
        """The rows of a table: for each model eager first, then its what-ifs."""
        return [row for model in self.models for row in (self.eager_of(model), *self.of(model).shown()) if row]

    def table(self) -> list[tuple[str, ...]]:
        """The `lines` as text under COLUMNS; each Δ is against the baseline of the row's model."""
        shown = self.lines()
        return [
            line
            for model in self.models
            for line in lines_of([row for row in shown if row.model == model], self.baseline_of(model))
        ]

    def text(self) -> str:
        """A table for each model as text, headings first."""
        several = len(self.models) > 1
        return "\n\n".join(
            (f"{model or 'other plans'}\n" if several else "") + self.of(model)._text() for model in self.models
        )

    def _text(self) -> str:
        lines = self.table()
        kept = filled(lines)
        right = frozenset(place for place, at in enumerate(kept) if COLUMNS[at] not in WORDS)
        return table([tuple(line[at] for at in kept) for line in (COLUMNS, *lines)], right=right)

    def to_data(self) -> list[dict[str, Any]]:
        """Plain JSON data, a row for each; sizes in bytes. Rows without a plan hold figures only, or an error."""
        return [
            {
                "name": row.name,
                "model": row.model,
                "baseline": self._baselines.get(row.model) == row.name,
                "asked": dict(row.asked),
                "error": row.error or None,
                **row_data(row),
            }
            for row in self
        ]

    def _figures(self, row: WhatIf) -> Figures | None:
        plan = self.proven(row)
        if row.figures is None or plan is row.held:
            return row.figures
        return replace(row.figures, lower_bound_bytes=plan.lower_bound_bytes, optimal=plan.optimal)

    def _free_name(self, plan: Plan, node_limit: int | None, asked: Mapping[str, Any]) -> str:
        strategies = (
            plan.order_strategy if plan.layout_strategy == "auto" else f"{plan.order_strategy}/{plan.layout_strategy}"
        )
        stem = f"{plan.rewrite_strategy} {100 * plan.extra_time:+.1f} %" if plan.extra_time > 0 else strategies
        if node_limit is not None and plan.extra_time <= 0:
            stem += f"-{node_limit}"
        goals = goals_text(asked.get("budget"), asked.get("extra_time") if plan.extra_time <= 0 else None)
        return self.free(" ".join(filter(None, [*changes(asked), stem, goals])))

    def free(self, stem: str) -> str:
        """A name that no row has yet: `stem`, or with a number after it."""
        name, number = stem, 2
        while name in self._rows:
            name, number = f"{stem} ({number})", number + 1
        return name


def changes(asked: Mapping[str, Any]) -> list[str]:
    """What was changed of the step before it was captured anew: ["batch 16", "bfloat16"]."""
    words = {"batch": "batch {}", "sequence": "sequence {}", "dtype": "{}", "optimizer": "{}"}
    return [form.format(asked[key]) for key, form in words.items() if asked.get(key) is not None]


def _same_graph(one: Plan, other: Plan) -> bool:
    """Whether both run the same graph: bounds are over all orders of it."""
    if one.graph_sha256 != other.graph_sha256 or one.rewrites != other.rewrites:
        return False
    return one.graph is other.graph or not one.rewrites or one.graph == other.graph
