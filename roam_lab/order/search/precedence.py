"""Precedences that every order below a given peak obeys, though the graph does not ask for them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from roam_lab.order.cut import Cuts
from roam_lab.order.problem import Problem
from roam_lab.order.search.alike import order_alike
from roam_lab.order.search.runs import Sets, join_runs, neighbours, reach_masks, topological


@dataclass(eq=False)
class Joined:
    """A problem with its ops in runs. `before`, `later`: for each run, those that must precede and follow it (bits)."""

    problem: Problem
    runs: list[list[int]]
    before: list[int]
    later: list[int]

    def open_pairs(self) -> list[tuple[int, int]]:
        """Pairs of runs that either may come first, each once."""
        count = len(self.runs)
        tied = [self.before[run] | self.later[run] for run in range(count)]
        return [(a, b) for a in range(count) for b in range(a + 1, count) if not tied[a] >> b & 1]


def joined(problem: Problem) -> Joined:
    """`problem` with its runs joined."""
    runs = join_runs(Sets(problem))
    preds, succs = neighbours(problem, runs)
    order = topological(preds, succs)
    return Joined(problem, runs, reach_masks(preds, order), reach_masks(succs, order[::-1]))


def with_precedences(problem: Problem, pairs: Iterable[tuple[int, int]]) -> Problem:
    """`problem`, in which also the first op of each pair precedes the second."""
    after, followers = [list(before) for before in problem.after], [list(later) for later in problem.followers]
    for first, second in pairs:
        after[second].append(first)
        followers[first].append(second)
    return replace(problem, after=after, followers=followers)


def alike_in_sequence(problem: Problem) -> Problem:
    """`problem`, in which chains that are alike run one after the other, place by place (`order_alike`)."""
    runs = join_runs(Sets(problem))
    pairs = order_alike(problem, runs, *neighbours(problem, runs))
    return with_precedences(problem, [(runs[first][-1], runs[second][0]) for first, second in pairs])


def tightened(problem: Problem, below_bytes: int, deadline: float | None = None) -> Joined | None:
    """`problem` with the precedences that every order with a peak below `below_bytes` obeys; None: there is none.

    If all states in which v runs after u hold `below_bytes` or more while v runs, or while u runs, v precedes u
    (minimum cut, `Cuts`). Repeated until nothing is added, or until `deadline` (of time.perf_counter); what was found
    by then holds anyway.
    """
    while True:
        current = joined(problem)
        cuts = Cuts(problem)
        high = [max(run, key=lambda op: sum(problem.sizes[storage] for storage in problem.uses[op]))
                for run in current.runs]  # fmt: skip

        def impossible(first: int, second: int, cuts: Cuts = cuts) -> bool:
            return (
                cuts.cheapest(first, later=(second,)).bytes >= below_bytes
                or cuts.cheapest(second, earlier=(first,)).bytes >= below_bytes
            )

        added: list[tuple[int, int]] = []
        late = False
        for a, b in current.open_pairs():
            late = deadline is not None and time.perf_counter() >= deadline
            if late:
                break
            not_first, not_second = impossible(high[a], high[b]), impossible(high[b], high[a])
            if not_first and not_second:
                return None
            if not_first or not_second:
                first, second = (b, a) if not_first else (a, b)
                added.append((current.runs[first][-1], current.runs[second][0]))
        more = with_precedences(problem, added)
        if len(topological(more.after, more.followers)) < len(more):
            return None  # they contradict each other
        if late or not added:
            return joined(more) if added else current
        problem = more
