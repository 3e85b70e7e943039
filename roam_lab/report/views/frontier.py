"""Memory of the whole step against extra time: what rewriting can do, what eager and checkpointing take, which plan is
shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from roam_lab.report.units import bytes_text, change_text, unit_for
from roam_lab.report.views.labels import Font, Label, placed
from roam_lab.report.views.table import Table, Value

if TYPE_CHECKING:
    from roam_lab.plan import Plan
    from roam_lab.plan.frontier import Frontier, LaidOutPoint

Role = Literal["planned", "captured", "checkpointed", "chosen"]
HEADROOM = 1.12
"""The memory axis ends that many times above the highest point."""
LEAST_END = 10.0
"""Percent: the time axis is at least that long."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One point. `role`: "planned" (of the frontier), "captured" (eager's order), "checkpointed" (every block), or
    "chosen" (the plan that is shown). `whole_bytes`: resident and arena; `label`: its name in the figure, "" for none.
    """

    role: Role
    extra_time: float
    whole_bytes: int
    arena_bytes: int
    name: str
    note: str
    label: str = ""

    @property
    def percent(self) -> float:
        """Extra time in percent."""
        return 100 * self.extra_time


@dataclass(frozen=True)
class FrontierView:
    """`marks`: the frontier's points by ascending time, then captured, checkpointed and chosen, where they are known.
    `times`: what ops were costed by. `strategy`: the rewrite strategy that found the frontier."""

    name: str
    marks: tuple[Mark, ...]
    resident_bytes: int
    times: str
    strategy: str

    @property
    def title(self) -> str:
        return f"Memory against extra time of {self.name}"

    @property
    def x_label(self) -> str:
        """What the time axis counts."""
        return f"extra time, % of the ops' time ({self.times})"

    @property
    def unit(self) -> tuple[str, int]:
        """Unit of the memory axis and its bytes."""
        return unit_for(max([mark.whole_bytes for mark in self.marks] + [1]))

    @property
    def end_percent(self) -> float:
        """Where the time axis ends; it begins at 0."""
        return max([1.08 * mark.percent for mark in self.marks] + [LEAST_END])

    @property
    def end_bytes(self) -> float:
        """Where the memory axis ends; it begins at 0."""
        return HEADROOM * max([mark.whole_bytes for mark in self.marks] + [1])

    @property
    def front(self) -> tuple[Mark, ...]:
        """The frontier's own points."""
        return tuple(mark for mark in self.marks if mark.role == "planned")

    @property
    def labelled(self) -> tuple[Mark, ...]:
        """The marks with a name in the figure."""
        return tuple(mark for mark in self.marks if mark.label)

    def labels(self, width: float, height: float, font: Font) -> list[Label]:
        """The name of each labelled mark, placed in a plot of `width` by `height` pixels."""
        points = [
            (max(mark.percent, 0.0) / self.end_percent, mark.whole_bytes / self.end_bytes, mark.label)
            for mark in self.labelled
        ]
        return placed(points, width, height, font)

    @property
    def alt(self) -> str:
        told = [f"{mark.name}: {bytes_text(mark.whole_bytes)}, {_more(mark.extra_time)}" for mark in self.marks]
        return (
            f"{self.title}, resident ({bytes_text(self.resident_bytes)}) + arena, predicted; found by rewrite strategy "
            f"{self.strategy}. {'; '.join(told) or 'Nothing found yet'}."
        )

    @property
    def table(self) -> Table:
        columns = ("what", "extra time, %", "resident + arena, bytes", "resident + arena", "arena, bytes", "note")
        rows: list[tuple[Value, ...]] = [
            (mark.name, mark.percent, mark.whole_bytes, bytes_text(mark.whole_bytes), mark.arena_bytes, mark.note)
            for mark in self.marks
        ]
        return Table(f"{self.title}, predicted; times: {self.times}", columns, tuple(rows))


def frontier_view(found: Frontier, chosen: Plan | None = None) -> FrontierView:
    """The points of `found` beside eager, every block checkpointed and, where it is given, the plan that is shown."""
    captured = found.captured_peak_bytes
    marks = []
    for number, point in enumerate(found.points):
        last = number == len(found.points) - 1 and (chosen is None or chosen.arena_bytes != point.arena_bytes)
        least = f"least known: {bytes_text(found.resident_bytes + point.arena_bytes)}" if last else ""
        name = "free" if point.extra_time <= 0 else _more(point.extra_time)
        marks.append(_mark(found, point, "planned", name, least))
    note = "live peak of the planned graph in eager's order; what an allocator loses comes on top"
    eager = "eager (captured order)"
    marks.append(Mark("captured", 0.0, found.resident_bytes + captured, captured, eager, note, eager))
    if found.checkpointed is not None:
        name = "every block checkpointed"
        marks.append(_mark(found, found.checkpointed, "checkpointed", name, name))
    if chosen is not None:
        whole = found.resident_bytes + chosen.arena_bytes
        note = f"arena {change_text(captured, chosen.arena_bytes) or 'as'} against captured"
        told = f"this plan: {bytes_text(whole)}"
        marks.append(Mark("chosen", chosen.extra_time, whole, chosen.arena_bytes, "this plan", note, told))
    return FrontierView(
        found.name or "a training step", tuple(marks), found.resident_bytes, found.times, found.strategy
    )


def no_frontier(name: str) -> FrontierView:
    """Nothing, in the place of a frontier that is not known yet."""
    return FrontierView(name or "a training step", (), 0, "not known yet", "none")


def _mark(found: Frontier, point: LaidOutPoint, role: Role, name: str, label: str) -> Mark:
    moved = f", {bytes_text(point.offloaded_bytes)} moved to the host" if point.offloaded_bytes else ""
    change = change_text(found.captured_peak_bytes, point.arena_bytes) or "nothing"
    note = f"arena {bytes_text(point.arena_bytes)} ({change}), {point.recomputed:,} ops run again{moved}"
    return Mark(role, point.extra_time, found.resident_bytes + point.arena_bytes, point.arena_bytes, name, note, label)


def _more(extra_time: float) -> str:
    return f"{100 * extra_time:+.1f} % time"
