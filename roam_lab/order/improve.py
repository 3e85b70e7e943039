"""Lower the peak of an order by having it pass through the cheapest state of its peak op, again and again."""

from __future__ import annotations

from collections.abc import Sequence

from roam_lab.order.cut import Cuts
from roam_lab.order.effort import Effort
from roam_lab.order.list_scheduling import best_pass
from roam_lab.order.problem import Problem


def improved(problem: Problem, order: Sequence[int], effort: Effort) -> list[int]:
    """An order with a peak no higher than that of `order`: lower as long as splitting at the peak helps.

    At the peak, the cheapest state that an order with a lower peak could be in (`Cuts.cheapest_below`) cuts the
    problem in two: what has run then, and the rest. Each side is scheduled by itself, and improved in the
    same way if it peaks too high. Stops when no cheaper state exists (the peak is then proven optimal), when
    neither side gets below the present peak, or when the effort is spent. (ROAM, tree of tasks; dominant schedules,
    splitting at the deepest valley.)
    """
    best = list(order)
    while best:
        curve = problem.curve(best)
        peak = int(curve.max())
        better = _split(problem, best[int(curve.argmax())], peak, effort)
        if better is None:
            break
        best = better
    return best


def _split(problem: Problem, op: int, peak: int, effort: Effort) -> list[int] | None:
    """An order with a peak below `peak` that passes through the cheapest state of `op`, if one is found."""
    if not effort.left:
        return None
    state = Cuts(problem, effort).cheapest_below(op, peak)
    if state.bytes >= peak or len(state.done) == len(problem):
        return None
    done = set(state.done)
    run = [*state.done, *(op for op in range(len(problem)) if op not in done)]
    order: list[int] = []
    for part in problem.stretches(run, [0, len(done), len(run)]):
        half = best_pass(part)
        if part.peak(half) >= peak:
            half = improved(part, half, effort)
        if part.peak(half) >= peak:
            return None
        first = len(order)
        order += [run[first + op] for op in half]
    return order
