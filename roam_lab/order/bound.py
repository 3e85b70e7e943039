"""The proof: a lower bound on the live peak over every legal order, with the reason why."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from roam_lab.ir import Graph, captured_order
from roam_lab.order.cut import Cuts
from roam_lab.order.effort import Effort
from roam_lab.order.problem import Array, Problem, problem_of

WORK_LIMIT = 2_000_000
"""Arcs over all minimum cuts that a bound may take unless told otherwise: about a second."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """Why no order needs less than `bytes` bytes: what every legal order holds while op `op` runs.

    `storages`: what is held then. `kind` says how it was proven: "forced" (every legal order must hold exactly these
    storages while the op runs), "minimum cut" (of all states in which the op can run, the one that holds these
    storages is the cheapest; found by maximum flow) or "search" (a strategy ruled out every better order by
    exhaustive search; `op` and `storages` are then the peak of the best order found). `later`: ops that cannot run
    before `op`, because an order that runs one of them earlier holds at least `bytes` bytes there; `earlier`: ops that
    cannot run after it, likewise.
    """

    op: int
    storages: tuple[int, ...]
    bytes: int
    kind: Literal["forced", "minimum cut", "search"] = "forced"
    later: tuple[int, ...] = ()
    earlier: tuple[int, ...] = ()


def lower_bound(
    graph: Graph,
    order: Sequence[int] | None = None,
    *,
    work_limit: int = WORK_LIMIT,
    time_limit: float | None = None,
) -> Certificate:
    """The largest minimum cut found over the ops that promise most, in bytes: no legal order has a lower peak.

    `order`: a good legal order (default: the captured one). What it holds while an op runs is a state that the
    op's minimum cut can only undercut, so ops are tried from the order's peak downwards, and left out
    once they promise no more than what is proven. Every cut state in turn gives another legal order, and so
    tighter promises. Stops when the bound meets the order's peak (the order is then optimal), when no op promises more
    (the bound is then the best that single ops can give), or at the limits. At least one op is tried.
    """
    problem = problem_of(graph)
    deadline = None if time_limit is None else time.perf_counter() + time_limit
    return bound_of(problem, captured_order(graph) if order is None else order, Effort(work_limit, deadline))


def bound_of(problem: Problem, order: Sequence[int], effort: Effort) -> Certificate:
    """`lower_bound` of a problem; the certificate speaks in the graph's op and storage numbers."""
    best = Certificate(0, (), problem.base_bytes)
    if not len(problem):
        return best
    cuts = Cuts(problem, effort)
    run = np.asarray(order, np.int64)
    promise = np.empty(len(run), np.int64)
    promise[run] = problem.curve(run)
    peak = int(promise.max())
    while True:
        op = int(promise.argmax())
        if promise[op] <= best.bytes:
            return best
        state = cuts.cheapest_below(op, peak)
        by_cases = bool(state.later or state.earlier)
        proven = min(state.bytes, peak) if by_cases else state.bytes
        if proven > best.bytes:
            best = Certificate(
                problem.op_of[op],
                tuple(problem.storage_of[storage] for storage in state.storages),
                proven,
                "forced" if state.forced and not by_cases else "minimum cut",
                tuple(problem.op_of[late] for late in state.later),
                tuple(problem.op_of[early] for early in state.earlier),
            )
        if best.bytes >= peak or effort.work < cuts.arcs or effort.late:
            return best
        through = through_state(run, state.done, op)
        promise[through] = np.minimum(promise[through], problem.curve(through))
        promise[op] = state.bytes


def through_state(run: Array, done: Sequence[int], op: int) -> Array:
    """`run` led through a state: its `done` ops first, `op` the last of them, each side in its old order."""
    inside = np.zeros(len(run), bool)
    inside[list(done)] = True
    first = run[inside[run]]
    return np.concatenate([first[first != op], [op], run[~inside[run]]])
