"""Running a rewrite strategy for goals, and the frontier of memory against time that it finds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from roam_lab.errors import InfeasibleError
from roam_lab.ir.graph import Graph
from roam_lab.registry import find
from roam_lab.rewrite.kinds import check_graph, checked_kinds, default_kinds
from roam_lab.rewrite.offloaded import offloaded
from roam_lab.rewrite.points import Found, Goals, Point, undominated

EXTRA_TIMES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.33)
"""The extra times at which a frontier has points at least, if it has so many points."""


def found(
    graph: Graph,
    goals: Goals,
    strategy: str = "auto",
    parameters: Mapping[str, Any] | None = None,
) -> Found:
    """Every point that `strategy` finds for the goals, with the graph itself and the free rewriting, none dominated.

    Raises FormatError for a roam-graph/1, UnknownStrategyError, ParameterError, and as `Strategy.call`.
    """
    check_graph(graph)
    asked = find("rewrite", strategy)
    values = asked.accept(parameters or {})
    known: Found = asked.call(Found, graph, goals, **values)
    if strategy == "none":
        return known
    others = [find("rewrite", name).function(graph, goals).points for name in ("none", "free") if name != strategy]
    points = undominated(point for points in (known.points, *others) for point in points)
    if "offload" in goals.kinds:
        points = undominated((*points, *offloaded(graph, goals, points)))
    return Found(points, known.bounds)


def frontier(
    graph: Graph, points: int = 12, *, kinds: Iterable[str] | None = None, strategy: str = "auto", **parameters: Any
) -> tuple[Point, ...]:
    """At most `points` points by ascending extra time, none dominated: from the free rewriting to the least memory that
    the strategy knows. Raises as `found`."""
    times = _spread(points)
    known = found(graph, Goals(times, kinds=_kinds(graph, kinds)), strategy, parameters)
    chosen = {id(point): point for extra in times if (point := known.at_most(extra)) is not None}
    chosen[id(known.points[-1])] = known.points[-1]
    kept = undominated(chosen.values())
    if len(kept) <= points:
        return kept
    step = (len(kept) - 1) / max(points - 1, 1)  # the ends stay
    return tuple(kept[round(number * step)] for number in range(points))


def at_most(
    graph: Graph, extra_time: float, *, kinds: Iterable[str] | None = None, strategy: str = "auto", **parameters: Any
) -> Point:
    """The rewriting of least live peak known that adds at most `extra_time` (a fraction of the graph's time). Raises
    InfeasibleError where none is known."""
    point = found(graph, Goals((extra_time,), kinds=_kinds(graph, kinds)), strategy, parameters).at_most(extra_time)
    if point is None:
        raise InfeasibleError(f"{graph.name}: nothing is known that adds at most {extra_time:.1%} of time; allow more")
    return point


def within(
    graph: Graph, budget: int, *, kinds: Iterable[str] | None = None, strategy: str = "auto", **parameters: Any
) -> Point:
    """The fastest rewriting known whose live peak is at most `budget` bytes.

    Raises InfeasibleError naming the least live peak that is known, and its extra time.
    """
    known = found(graph, Goals(budgets=(budget,), kinds=_kinds(graph, kinds)), strategy, parameters)
    point = known.within(budget)
    if point is None:
        least = known.points[-1]
        raise InfeasibleError(
            f"{graph.name}: {budget} bytes are too few: the least known to do is {least.peak_bytes} bytes, at "
            f"{least.extra_time:.1%} more time; raise the budget"
        )
    return point


def _kinds(graph: Graph, kinds: Iterable[str] | None) -> frozenset[str]:
    return checked_kinds(default_kinds(graph) if kinds is None else kinds)


def _spread(points: int) -> tuple[float, ...]:
    """That many extra times, closest together near 0, where the curve is steepest."""
    if points <= len(EXTRA_TIMES):
        return EXTRA_TIMES[:points]
    more = [0.03, 0.07, 0.12, 0.4, 0.01, 0.18, 0.29]
    return tuple(sorted({*EXTRA_TIMES, *more[: points - 1 - len(EXTRA_TIMES)]}))
