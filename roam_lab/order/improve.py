"""Lower the peak of an order by leading it through the cheapest state of its peak op, again and again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from roam_lab.order.cut import Cuts
from roam_lab.order.list_scheduling import best_pass
from roam_lab.order.problem import Problem


@dataclass(slots=True)
class Budget:
    """What a search may still spend: arcs of cut networks, counted so that the same input gives the same order.

    `deadline`: when to stop whatever the count (time.perf_counter; None: no limit).
    """

    arcs: int
    deadline: float | None = None

    @property
    def left(self) -> bool:
        """Whether there is anything left to spend."""
        return self.arcs > 0 and (self.deadline is None or time.perf_counter() < self.deadline)


def improved(problem: Problem, order: Sequence[int], budget: Budget) -> list[int]:
    """An order with a peak no higher than that of `order`: lower as long as splitting at the peak helps.

    At the peak, the cheapest state that an order with a lower peak could be in (`Cuts.cheapest_below`) cuts the
    problem in two: what has run then, and the rest. Each side is scheduled by itself, and improved in the
    same way if it peaks too high. Stops when no cheaper state exists (the peak is then proven optimal), when
    neither side gets below the present peak, or when the budget is spent. (ROAM, tree of tasks; dominant schedules,
    splitting at the deepest valley.)
    """
    best = list(order)
    while best:
        curve = problem.curve(best)
        peak = int(curve.max())
        better = _split(problem, best[int(curve.argmax())], peak, budget)
        if better is None:
            break
        best = better
    return best


def _split(problem: Problem, op: int, peak: int, budget: Budget) -> list[int] | None:
    """An order with a peak below `peak` that passes through the cheapest state of `op`, if one is found."""
    if not budget.left:
        return None
    cuts = Cuts(problem)
    state = cuts.cheapest_below(op, peak)
    budget.arcs -= cuts.spent_arcs
    if state.bytes >= peak or len(state.done) == len(problem):
        return None
    done = set(state.done)
    order: list[int] = []
    for ops, before in ((list(state.done), ()), ([op for op in range(len(problem)) if op not in done], state.done)):
        part = problem.part(ops, before)
        run = best_pass(part)
        if part.peak(run) >= peak:
            run = improved(part, run, budget)
        if part.peak(run) >= peak:
            return None
        order += [ops[number] for number in run]
    return order
