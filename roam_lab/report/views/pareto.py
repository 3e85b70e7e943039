"""Memory against time over several plans: which of them are worth choosing from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from roam_lab.errors import InputError
from roam_lab.report.units import bytes_text, unit_for
from roam_lab.report.views.labels import Font, Label, placed
from roam_lab.report.views.table import Table, listed, short

if TYPE_CHECKING:
    from roam_lab.plan import Plan


LETTERS = 32
"""Longer names of plans are cut."""


@dataclass(frozen=True, slots=True)
class Point:
    """One plan: arena bytes against seconds; `best`: no other plan is at least as good in both and better in one."""

    name: str
    arena_bytes: int
    seconds: float
    strategy: str
    best: bool


@dataclass(frozen=True)
class ParetoView:
    """Points in the sequence of the plans given. `time` says which seconds these are, `measured` how they are known
    ("measured on cuda")."""

    points: tuple[Point, ...]
    time: str
    measured: str = "measured"

    @property
    def basis(self) -> str:
        return f"memory predicted, {self.time} {self.measured}"

    @property
    def title(self) -> str:
        return f"Memory against {self.time} of {len(self.points):,} plan{'' if len(self.points) == 1 else 's'}"

    @property
    def unit(self) -> tuple[str, int]:
        """Unit of the memory axis and its bytes."""
        return unit_for(max([point.arena_bytes for point in self.points] + [1]))

    @property
    def end_seconds(self) -> float:
        """Where the time axis ends; it begins at 0."""
        return (max(point.seconds for point in self.points) or 1.0) * 1.3

    @property
    def edges_bytes(self) -> tuple[float, float]:
        """Where the memory axis begins and ends."""
        sizes = [point.arena_bytes for point in self.points]
        margin = 0.12 * (max(sizes) - min(sizes)) or 0.1 * max(sizes) or 1.0
        return max(min(sizes) - margin, 0.0), max(sizes) + margin

    def labels(self, width: float, height: float, font: Font) -> list[Label]:
        """The name of each point, placed in a plot of `width` by `height` pixels."""
        low, high = self.edges_bytes
        points = [
            (point.seconds / self.end_seconds, (point.arena_bytes - low) / (high - low), short(point.name, LETTERS))
            for point in self.points
        ]
        return placed(points, width, height, font)

    @property
    def front(self) -> tuple[Point, ...]:
        """The non-dominated points, the fastest first."""
        best = [point for point in self.points if point.best]
        return tuple(sorted(best, key=lambda point: (point.seconds, point.arena_bytes)))

    @property
    def alt(self) -> str:
        points = [f"{point.name}: {bytes_text(point.arena_bytes)}, {point.seconds:.3g} s" for point in self.points]
        front = listed([point.name for point in self.front], 12)
        return f"{self.title}; {self.basis}. {'; '.join(points)}. Not beaten in both: {front or 'none'}."

    @property
    def table(self) -> Table:
        columns = ("plan", "arena, bytes", "arena", f"{self.time}, s", "strategies", "not beaten")
        rows = tuple(
            (p.name, p.arena_bytes, bytes_text(p.arena_bytes), p.seconds, p.strategy, "yes" if p.best else "")
            for p in self.points
        )
        return Table(f"{self.title}; {self.basis}", columns, rows)


def pareto_view(
    plans: Mapping[str, Plan], step_seconds: Mapping[str, float] | None = None, measured_on: str = ""
) -> ParetoView:
    """Arena bytes of named plans against the time to plan them or, with `step_seconds`, to run their step.

    Plans without a step time are left out then. `measured_on`: the device. Raises InputError when nothing is left.
    """
    shown = {name: plan for name, plan in plans.items() if step_seconds is None or name in step_seconds}
    if not shown:
        raise InputError("there is no plan to compare by step time; run a plan first, or compare planning times")
    cost = {name: (plan.seconds if step_seconds is None else step_seconds[name]) for name, plan in shown.items()}
    points = []
    for name, plan in shown.items():
        beaten = any(
            (other.arena_bytes <= plan.arena_bytes and cost[rival] <= cost[name])
            and (other.arena_bytes < plan.arena_bytes or cost[rival] < cost[name])
            for rival, other in shown.items()
        )
        strategy = f"{plan.order_strategy}, {plan.layout_strategy}"
        points.append(Point(name, plan.arena_bytes, cost[name], strategy, not beaten))
    if step_seconds is None:
        return ParetoView(tuple(points), "planning time")
    where = f" on {measured_on}" if measured_on else ""
    return ParetoView(tuple(points), "step time", f"measured{where}")
