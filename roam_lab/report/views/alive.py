"""What is alive at the peak, by module pattern, operator and kind: in the captured order and in the planned one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from roam_lab.ir import Graph, captured_order, lifetimes, live_peak
from roam_lab.report.graphs import captured_label, eager_graph, graph_of, planned_label
from roam_lab.report.units import bytes_text
from roam_lab.report.views.groups import Group, grouped
from roam_lab.report.views.places import kinds, places
from roam_lab.report.views.table import Table, Value, listed

if TYPE_CHECKING:
    from roam_lab.plan import Plan, Profile

SHOWN = 12


@dataclass(frozen=True, slots=True)
class Bar:
    """Storages alive at a peak that one operator makes in modules of one pattern: `count` of them, `storage` the
    largest; or, with storage -1, all groups that are too small to be shown."""

    storage: int
    bytes: int
    kind: str
    label: str
    source: str
    count: int = 1
    members: tuple[int, ...] = ()


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
        sentences = []
        for side in self.sides:
            largest = listed([f"{bar.label} {bytes_text(bar.bytes)} ({bar.kind})" for bar in side.bars], 3)
            sentences.append(f"{side.label}: {bytes_text(side.peak_bytes)} {side.at}: {largest or 'nothing'}")
        return f"{self.title}, predicted. {'. '.join(sentences)}."

    @property
    def table(self) -> Table:
        rows: list[tuple[Value, ...]] = []
        for side in self.sides:
            for bar in side.bars:
                number = bar.storage if bar.storage >= 0 else None
                size = bytes_text(bar.bytes)
                rows.append((side.label, number, bar.bytes, size, bar.count, bar.kind, bar.label, bar.source))
        columns = ("run", "largest storage", "bytes", "size", "storages", "kind", "what", "source")
        return Table(f"{self.title}, predicted", columns, tuple(rows))


def alive_view(plan: Plan, profile: Profile | None = None, shown: int = SHOWN) -> AliveView:
    """The `shown` largest groups at the captured and at the planned peak. Raises InputError for a bare plan."""
    graph = graph_of(plan)
    eager = graph if profile is None else eager_graph(profile)
    same = eager.storages == graph.storages
    sides = [_side("planned", planned_label(plan), graph, plan.order, shown, True)]
    if profile is not None or not plan.rewrites:  # else the graph is not the captured one any more
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
    known = places(graph)
    kind_of = kinds(graph, known)
    found = grouped(graph, known, kind_of)
    groups: dict[int, list[int]] = {}
    for life in lifetimes(graph, order):
        if life.start <= peak.step < life.end:
            groups.setdefault(int(found.of_storage[life.storage]), []).append(life.storage)
    bars = [_bar(graph, found.groups[number], members) for number, members in groups.items()]
    bars.sort(key=lambda bar: (-bar.bytes, bar.storage))
    rest = bars[shown:] if len(bars) > shown + 1 else []
    if rest:
        count = sum(bar.count for bar in rest)
        words = f"{count:,} smaller ones of {len(rest):,} groups together"
        bars = [*bars[:shown], Bar(-1, sum(bar.bytes for bar in rest), "the rest", words, "", count)]
    at = f"at step {peak.step + 1:,} of {len(order):,}, {op.name}{f', {op.phase}' if op.phase else ''}"
    return Side(role, label, peak.bytes, at, tuple(bars), selectable)


def _bar(graph: Graph, group: Group, members: list[int]) -> Bar:
    largest = max(members, key=lambda storage: (graph.storages[storage].bytes, -storage))
    total = sum(graph.storages[storage].bytes for storage in members)
    made = graph.ops[graph.creator[largest] or 0]
    words = f"{group.op} ×{len(members):,}" if len(members) > 1 else made.name
    label = f"{words} · {group.pattern if len(members) > 1 else made.module or group.pattern}"
    return Bar(largest, total, group.kind, label, made.source or "", len(members), tuple(members))
