"""What rewriting strategies are asked for and what they give: points of memory against time, none dominated."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from roam_lab.ir.memory import Order
from roam_lab.ir.rewritten import Rewritten
from roam_lab.rewrite.expand import expand
from roam_lab.rewrite.explorer import Explorer
from roam_lab.rewrite.kinds import ON_DEVICE, checked_kinds


@dataclass(frozen=True, slots=True)
class Goals:
    """`kinds`: the rewritings that are allowed; `order`: the legal order that they start from (None: the captured one
    a little improved, rewrite/base_order.py). A strategy looks for the least peak at each of `extra_times` (fractions
    of the graph's time) and for the least time at each of `budgets` (bytes of live peak)."""

    extra_times: tuple[float, ...] = ()
    budgets: tuple[int, ...] = ()
    kinds: frozenset[str] = frozenset(ON_DEVICE)
    order: Order | None = None

    def __post_init__(self) -> None:
        checked_kinds(self.kinds)


@dataclass(frozen=True, slots=True)
class Point:
    """A rewriting: the time it adds, as a fraction of the graph's time before, its live peak in running order (bytes),
    and the function that writes its graph out. `strategy`: who found it."""

    extra_time: float
    peak_bytes: int
    rewritten: Callable[[], Rewritten]
    strategy: str


@dataclass(frozen=True, slots=True)
class Bound:
    """No rewriting of this order that recomputes just in time and adds at most `extra_time` has a lower live peak."""

    extra_time: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Found:
    """`points` by ascending extra time, so by descending peak; none is dominated."""

    points: tuple[Point, ...]
    bounds: tuple[Bound, ...] = ()

    def at_most(self, extra_time: float) -> Point | None:
        """The point of least peak that adds at most `extra_time`."""
        fitting = [point for point in self.points if point.extra_time <= extra_time + 1e-9]
        return fitting[-1] if fitting else None

    def within(self, budget: int) -> Point | None:
        """The fastest point whose live peak is at most `budget` bytes."""
        return next((point for point in self.points if point.peak_bytes <= budget), None)


def undominated(points: Iterable[Point]) -> tuple[Point, ...]:
    """Those that no other beats in both time and peak, by ascending time."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: (point.extra_time, point.peak_bytes)):
        if not kept or point.peak_bytes < kept[-1].peak_bytes:
            kept.append(point)
    return tuple(kept)


def points_of(explorer: Explorer, strategy: str) -> tuple[Point, ...]:
    """All that an explorer has met."""
    problem, front = explorer.problem, explorer.front
    base = problem.base_us
    return tuple(
        # sums of the same times in another sequence differ in their last digits
        Point(round(us / base - 1, 9) + 0.0 if base else 0.0, peak, partial(expand, problem, state), strategy)
        for us, peak, state in zip(front.us, front.peaks, front.states, strict=True)
    )
