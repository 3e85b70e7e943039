"""Which part of a graph sets the peak of an order, and what another order of that part alone would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Literal

from roam_lab.ir import Graph
from roam_lab.order.dominance.contract import SolvedPart
from roam_lab.order.dominance.solve import Contracted, contracted, solved
from roam_lab.order.effort import Effort
from roam_lab.order.problem import Problem, problem_of
from roam_lab.order.reduce.jobs import Job, ops_of
from roam_lab.order.reduce.reduced import Reduced, with_taken_out

Shape = Literal["chain", "pumpkin", "series-parallel", "other"]


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """The part that sets an order's peak.

    `ops`: in captured order. `peak_bytes`: the order's peak, `op` runs there. `shape`: "pumpkin" (chains side by side
    between two ends), "series-parallel", "chain" (no other order of anything around the peak) or "other".
    `order`: the same order with this part alone in a dominant schedule, whose peak is `reordered_bytes`.
    """

    ops: tuple[int, ...]
    op: int
    peak_bytes: int
    shape: Shape
    order: tuple[int, ...]
    reordered_bytes: int


def bottleneck(graph: Graph, order: Sequence[int], effort: int = 300_000) -> Bottleneck:
    """The part of `graph` around the peak of `order` whose order alone lowers it most; the smallest such part.

    Parts are series-parallel, found by contraction; where none holds the peak's op, the part is everything that
    contraction could not solve. `effort`: steps that searching may try. The order must be legal.
    """
    return bottleneck_of(problem_of(graph), order, Effort(effort))


def bottleneck_of(problem: Problem, order: Sequence[int], effort: Effort) -> Bottleneck:
    """`bottleneck` of a problem; raises SpentError at the effort's deadline."""
    run = list(order)
    if not run:
        return Bottleneck((), -1, problem.base_bytes, "chain", (), problem.base_bytes)
    curve = problem.curve(run)
    step = int(curve.argmax())
    peak = int(curve[step])
    found = contracted(problem, effort)
    around = _around(found, run[: step + 1])
    low, high = 0, len(around) - 1  # parts nest: what a part gains, every larger one gains too
    shape: Shape
    ops, other, shape = [run[step]], run, "chain"
    if around:
        ops, other, shape = _tried(found.left, run, around[-1])
        least = problem.peak(other)
        while low < high and not effort.late:
            middle = (low + high) // 2
            tried = _tried(found.left, run, around[middle])
            if problem.peak(tried[1]) <= least:
                (ops, other, shape), high = tried, middle
            else:
                low = middle + 1
    if not found.exact and problem.peak(other) >= peak and not effort.late:
        ops, shape = list(range(len(problem))), "other"
        best = solved(problem, effort).order
        other = best if problem.peak(best) < peak else run
    return Bottleneck(tuple(sorted(ops)), run[step], peak, shape, tuple(other), problem.peak(other))


def _tried(left: Reduced, order: Sequence[int], part: SolvedPart) -> tuple[list[int], list[int], Shape]:
    whole = left.whole
    ops = _completed(whole, ops_of(part.chain), left.taken_out)
    other = reordered(whole, order, ops)
    return ops, other if whole.peak(other) < whole.peak(order) else list(order), part.shape


def _around(found: Contracted, until: Sequence[int]) -> list[SolvedPart]:
    """The parts that hold the last op of `until`, or the last before it that was not taken out; smallest first."""
    peak_op = next((op for op in reversed(until) if op not in found.left.taken_out), None)
    seen: dict[int, tuple[int, bool]] = {}
    parts = []
    for number, part in enumerate(found.parts):
        inside = [_size(job, peak_op, seen) for job in part.chain]
        if any(here for _, here in inside):
            parts.append((sum(size for size, _ in inside), number, part))
    return [part for _, _, part in sorted(parts, key=lambda entry: entry[:2])]


def _size(job: Job, op: int | None, seen: dict[int, tuple[int, bool]]) -> tuple[int, bool]:
    """How many ops a job holds, and whether `op` is one; `seen` remembers both by the job's id, as jobs share parts."""
    stack = [job]
    while stack:
        current = stack[-1]
        inner = [part for part in current.parts if isinstance(part, Job) and id(part) not in seen]
        if inner and id(current) not in seen:
            stack += inner
            continue
        stack.pop()
        counted = [seen[id(part)] if isinstance(part, Job) else (1, part == op) for part in current.parts]
        seen[id(current)] = sum(size for size, _ in counted), any(here for _, here in counted)
    return seen[id(job)]


def _completed(problem: Problem, ops: list[int], taken_out: frozenset[int]) -> list[int]:
    """The part's ops in turn, each followed by the ops that only free and wait for nothing else in the part."""
    part, stack = set(ops), list(ops)
    while stack:
        for follower in problem.followers[stack.pop()]:
            if follower in taken_out and follower not in part:
                part.add(follower)
                stack.append(follower)
    numbers = sorted(part)
    place = {op: number for number, op in enumerate(numbers)}
    inner = problem.part(numbers, ())
    (full,) = with_taken_out(inner, [[place[op] for op in ops]], {place[op] for op in part & taken_out})
    return [numbers[number] for number in full]


def reordered(problem: Problem, order: Sequence[int], ops: Sequence[int]) -> list[int]:
    """`order` with `ops` in this sequence, in the places that they had; what would run too early then waits."""
    part = set(ops)
    turn = iter(ops)
    rank = {next(turn) if op in part else op: step for step, op in enumerate(order)}
    waiting = [len(before) for before in problem.after]
    heap = [(rank[op], op) for op in range(len(problem)) if not waiting[op]]
    heapify(heap)
    result: list[int] = []
    while heap:
        _, op = heappop(heap)
        result.append(op)
        for follower in problem.followers[op]:
            waiting[follower] -= 1
            if not waiting[follower]:
                heappush(heap, (rank[follower], follower))
    return result
