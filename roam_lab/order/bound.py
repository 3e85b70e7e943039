"""A lower bound on the live peak of every legal order, and the certificate that says why it holds."""

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
"""Default effort of a bound: arcs in the networks of all its minimum cuts together, about a second."""


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
    """The largest minimum cut of an op that was found, in bytes: no legal order has a lower peak.

    The minimum cut of an op is the least that any legal order holds while the op runs. What a known order holds then is
    an upper limit of it: at first those of `order`, a good legal order (default: the captured one). The op with the
    highest limit is tried next, until no limit is above what is proven. Each cut gives another legal order, and so
    lower limits. Stops when the bound meets the order's peak (the order is then optimal), when no limit is above the
    bound (no single op proves more), at `work_limit` (arcs) or at `time_limit` (seconds). At least one op is tried.
    """
    problem = problem_of(graph)
    deadline = None if time_limit is None else time.perf_counter() + time_limit
    return bound_of(problem, captured_order(graph) if order is None else order, Effort(work_limit, deadline))


def bound_of(problem: Problem, order: Sequence[int], effort: Effort) -> Certificate:
    """`lower_bound` of a problem; the certificate names ops and storages by their numbers in the graph."""
    best = Certificate(0, (), problem.base_bytes)
    if not len(problem):
        return best
    cuts = Cuts(problem, effort)
    run = np.asarray(order, np.int64)
    limits = np.empty(len(run), np.int64)  # of each op's minimum cut, in bytes
    limits[run] = problem.curve(run)
    peak = int(limits.max())
    while True:
        op = int(limits.argmax())
        if limits[op] <= best.bytes:
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
        limits[through] = np.minimum(limits[through], problem.curve(through))
        limits[op] = state.bytes


def through_state(run: Array, done: Sequence[int], op: int) -> Array:
    """`run` changed so that it passes through a state: first the ops of `done`, `op` the last of them, then the others,
    both in the sequence that they had."""
    inside = np.zeros(len(run), bool)
    inside[list(done)] = True
    first = run[inside[run]]
    return np.concatenate([first[first != op], [op], run[~inside[run]]])
