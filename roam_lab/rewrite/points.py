"""What a rewrite strategy is given (goals) and what it returns (points of extra time and live peak)."""

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
    """What a rewrite strategy looks for: the least live peak at each of `extra_times` (fractions of the graph's time),
    and the least extra time at each of `budgets` (bytes of live peak). It may return any other points, too.

    `kinds`: the kinds of rewriting that are allowed; `order`: the legal order that rewriting starts from (None: the
    base order, rewrite/base_order.py). Raises ParameterError for an unknown kind.
    """

    extra_times: tuple[float, ...] = ()
    budgets: tuple[int, ...] = ()
    kinds: frozenset[str] = frozenset(ON_DEVICE)
    order: Order | None = None

    def __post_init__(self) -> None:
        checked_kinds(self.kinds)


@dataclass(frozen=True, slots=True)
class Point:
    """One rewriting. `extra_time`: the time that it adds, as a fraction of the graph's time before; `peak_bytes`: its
    live peak, its ops run in the sequence in which they stand; `rewritten`: makes the rewritten graph, when it is
    called; `strategy`: the name of the strategy that found it."""

    extra_time: float
    peak_bytes: int
    rewritten: Callable[[], Rewritten]
    strategy: str


@dataclass(frozen=True, slots=True)
class Bound:
    """A proof: no rewriting of this order that recomputes storages just before their next use and adds at most
    `extra_time` has a live peak below `peak_bytes`."""

    extra_time: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a rewrite strategy returns: `points` by ascending extra time, and so by descending peak, none of them
    dominated; and the `bounds` that it has proven."""

    points: tuple[Point, ...]
    bounds: tuple[Bound, ...] = ()

    def at_most(self, extra_time: float) -> Point | None:
        """The point of least peak that adds at most `extra_time`; None where all add more."""
        fitting = [point for point in self.points if point.extra_time <= extra_time + 1e-9]
        return fitting[-1] if fitting else None

    def within(self, budget: int) -> Point | None:
        """The fastest point whose live peak is at most `budget` bytes; None where all are higher."""
        return next((point for point in self.points if point.peak_bytes <= budget), None)


def undominated(points: Iterable[Point]) -> tuple[Point, ...]:
    """Those of `points` that no other beats in both time and peak, by ascending time."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: (point.extra_time, point.peak_bytes)):
        if not kept or point.peak_bytes < kept[-1].peak_bytes:
            kept.append(point)
    return tuple(kept)


def points_of(explorer: Explorer, strategy: str) -> tuple[Point, ...]:
    """A point for every state on the explorer's front; `strategy`: the name that they carry."""
    problem, front = explorer.problem, explorer.front
    base = problem.base_us
    return tuple(
        # sums of the same times in another sequence differ in their last digits
        Point(round(us / base - 1, 9) + 0.0 if base else 0.0, peak, partial(expand, problem, state), strategy)
        for us, peak, state in zip(front.us, front.peaks, front.states, strict=True)
    )
