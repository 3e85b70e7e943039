"""What is alive at the peak: the captured order's beside the planned one's, largest first, the rest summed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from roam_lab.ir import Graph, captured_order, lifetimes, live_peak
from roam_lab.report.rows import captured_label, eager_graph, graph_of, planned_label
from roam_lab.report.units import bytes_text
from roam_lab.report.views.places import kinds, places
from roam_lab.report.views.table import Table, Value, listed

if TYPE_CHECKING:
    from roam_lab.plan import Plan, Profile

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Bar:
    """One storage alive at a peak, or (storage -1) the sum of `count` small ones."""

    storage: int
    bytes: int
    kind: str
    label: str
    source: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Side:
    """What one run holds at its peak. `selectable`: its storages are numbered as the plan's are."""

    role: str
    label: str
    peak_bytes: int
    at: str
    bars: tuple[Bar, ...]
    selectable: bool


@dataclass(frozen=True)
class AliveView:
    """The captured side first, where it is known, then the planned one."""

    name: str
    sides: tuple[Side, ...]

    @property
    def title(self) -> str:
        return f"Alive at the peak of {self.name}"

    @property
    def alt(self) -> str:
        told = []
        for side in self.sides:
            largest = listed([f"{bar.label} {bytes_text(bar.bytes)} ({bar.kind})" for bar in side.bars], 3)
            told.append(f"{side.label}: {bytes_text(side.peak_bytes)} {side.at}: {largest or 'nothing'}")
        return f"{self.title}, predicted. {'. '.join(told)}."

    @property
    def table(self) -> Table:
        rows: list[tuple[Value, ...]] = []
        for side in self.sides:
            for bar in side.bars:
                number = bar.storage if bar.storage >= 0 else None
                rows.append((side.label, number, bar.bytes, bytes_text(bar.bytes), bar.kind, bar.label, bar.source))
        columns = ("run", "storage", "bytes", "size", "kind", "what", "source")
        return Table(f"{self.title}, predicted", columns, tuple(rows))


def alive_view(plan: Plan, profile: Profile | None = None, shown: int = SHOWN) -> AliveView:
    """The `shown` largest storages at the captured and at the planned peak. Raises InputError for a bare plan."""
    graph = graph_of(plan)
    eager = graph if profile is None else eager_graph(profile)
    same = eager.storages == graph.storages
    sides = [_side("planned", planned_label(plan), graph, plan.order, shown, True)]
    if profile is not None or not plan.rewrites:  # else it is no more the captured one
        sides.insert(0, _side("captured", captured_label(profile), eager, captured_order(eager), shown, same))
    return AliveView(graph.name or "a training step", tuple(sides))


def profile_alive_view(profile: Profile, shown: int = SHOWN) -> AliveView:
    """The same for the captured order alone."""
    graph = eager_graph(profile)
    same = graph.storages == profile.graph.storages
    side = _side("captured", captured_label(profile), graph, captured_order(graph), shown, same)
    return AliveView(graph.name or "a training step", (side,))


def _side(role: str, label: str, graph: Graph, order: Sequence[int], shown: int, selectable: bool) -> Side:
    if not order:
        return Side(role, label, 0, "", (), selectable)
    peak = live_peak(graph, order)
    op = graph.ops[order[peak.step]]
    alive = [life.storage for life in lifetimes(graph, order) if life.start <= peak.step < life.end]
    alive.sort(key=lambda storage: (-graph.storages[storage].bytes, storage))
    known = places(graph)
    told = kinds(graph, known)
    bars = []
    for storage in alive[:shown]:
        maker = graph.creator[storage]
        made = graph.ops[maker] if maker is not None else None
        name = (
            " · ".join(part for part in (made.name, known.module[maker or 0]) if part) if made else f"storage {storage}"
        )
        info = graph.storages[storage]
        bars.append(Bar(storage, info.bytes, told[storage], name, (made.source or "") if made else ""))
    rest = alive[shown:]
    if rest:
        total = sum(graph.storages[storage].bytes for storage in rest)
        bars.append(Bar(-1, total, "the rest", f"{len(rest):,} smaller ones together", "", len(rest)))
    at = f"at step {peak.step + 1:,} of {len(order):,}, {op.name}{f', {op.phase}' if op.phase else ''}"
    return Side(role, label, peak.bytes, at, tuple(bars), selectable)
