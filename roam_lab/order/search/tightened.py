"""Precedences that every order below a given peak obeys, though the graph does not ask for them."""

from __future__ import annotations

from roam_lab.order.cut import Cuts
from roam_lab.order.effort import Effort
from roam_lab.order.problem import Problem
from roam_lab.order.reduce.precedence import reach_masks, topological
from roam_lab.order.reduce.reduced import Reduced
from roam_lab.order.search.alike import order_alike


def masks_of(problem: Problem) -> tuple[list[int], list[int]]:
    """For each op all that must precede it, and all that must follow it, one bit an op."""
    order = topological(problem.after, problem.followers)
    return reach_masks(problem.after, order), reach_masks(problem.followers, order[::-1])


def open_pairs(problem: Problem) -> list[tuple[int, int]]:
    """Pairs of ops either of which may come first, each pair once."""
    tied = [before | later for before, later in zip(*masks_of(problem), strict=True)]
    return [(a, b) for a in range(len(problem)) for b in range(a + 1, len(problem)) if not tied[a] >> b & 1]


def alike_in_sequence(reduced: Reduced, effort: Effort) -> Reduced:
    """`reduced`, in which chains that are alike run one after the other, place by place (`order_alike`)."""
    return reduced.with_precedences(order_alike(reduced.problem), effort) or reduced


def tightened(reduced: Reduced, below_bytes: int, effort: Effort) -> Reduced | None:
    """`reduced` with the precedences that every order with a peak below `below_bytes` obeys; None: there is none.

    If all states in which v runs after u hold `below_bytes` or more while v runs, or while u runs, v precedes u
    (minimum cut, `Cuts`). Repeated until nothing is added, or until the deadline of `effort`; what was found by then
    holds anyway.
    """
    while True:
        cuts = Cuts(reduced.problem)

        def impossible(first: int, second: int, cuts: Cuts = cuts) -> bool:
            return (
                cuts.cheapest(first, later=(second,)).bytes >= below_bytes
                or cuts.cheapest(second, earlier=(first,)).bytes >= below_bytes
            )

        added: list[tuple[int, int]] = []
        for a, b in open_pairs(reduced.problem):
            if effort.late:
                break
            not_first, not_second = impossible(a, b), impossible(b, a)
            if not_first and not_second:
                return None
            if not_first or not_second:
                added.append((b, a) if not_first else (a, b))
        if not added or effort.late:
            return reduced
        tighter = reduced.with_precedences(added, effort)
        if tighter is None:
            return None
        reduced = tighter
