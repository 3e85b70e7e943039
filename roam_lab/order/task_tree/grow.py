"""The tree of tasks, grown from its skeleton and what solving the leaves gave: plain data for plans and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from roam_lab.order.problem import Array, Problem
from roam_lab.order.task_tree.leaf import Leaf
from roam_lab.order.task_tree.split import Node
from roam_lab.order.tasks import Kind, Moved, Solution, Task

_WORSE: tuple[Solution, ...] = ("optimal", "feasible", "timed out")


def grown(
    step: Node, ops: Sequence[Sequence[int]], leaves: Sequence[Leaf], whole: Problem, moved: Sequence[Moved], limit: int
) -> Task:
    """The step's task; `ops` holds what each leaf runs, in the sequence in which `leaves` stand.

    Ops that were joined to one job and are more than `limit` have their sequence fixed: as many leaves as it takes.
    """
    curve = whole.curve([op for group in ops for op in group])
    numbers = iter(range(len(leaves)))
    begin = 0

    def task(node: Node) -> Task:
        nonlocal begin
        if not node.children:
            number = next(numbers)
            begin += len(ops[number])
            return _leaf(ops[number], leaves[number], curve[begin - len(ops[number]) : begin], limit)
        children = tuple(task(child) for child in node.children)
        return _parent(node.kind, children)

    root = task(step)
    segments = [child.ops for child in root.children]
    numbered = tuple(
        replace(child, pair=pair) for child, pair in zip(root.children, pairs(whole, segments), strict=True)
    )
    return replace(root, children=numbered, moved=tuple(moved))


def _parent(kind: Kind, children: tuple[Task, ...]) -> Task:
    return Task(
        kind=kind,
        ops=tuple(op for child in children for op in child.ops),
        peak_bytes=max(child.peak_bytes for child in children),
        status=max((child.status for child in children), key=_WORSE.index),
        solve_seconds=sum(child.solve_seconds for child in children),
        children=children,
    )


def _leaf(ops: Sequence[int], leaf: Leaf, curve: Array, limit: int) -> Task:
    chunks = [
        Task(
            kind="leaf",
            ops=tuple(ops[low : low + limit]),
            peak_bytes=int(curve[low : low + limit].max(initial=0)),
            status=leaf.status,
            solver=leaf.solver,
            solve_seconds=0.0 if low else leaf.seconds,
        )
        for low in range(0, max(len(ops), 1), limit)
    ]
    return chunks[0] if len(chunks) == 1 else _parent("part", tuple(chunks))


def pairs(whole: Problem, segments: Sequence[Sequence[int]]) -> list[int | None]:
    """Each segment's pair number: a forward and a backward segment share one, counted from the outermost.

    The weight of a forward and a backward segment as a pair is the bytes that the first makes and the second frees:
    they cross the waist, the moment between two segments at which most bytes are alive. The heaviest set of pairs that
    nest like brackets is kept.
    """
    segment_of = [0] * len(whole)
    for number, ops in enumerate(segments):
        for op in ops:
            segment_of[op] = number
    count = len(segments)
    bytes_of: dict[tuple[int, int], int] = {}
    crossing = np.zeros(count + 1, np.int64)
    for storage, users in enumerate(whole.users):
        found = [segment_of[op] for op in users]
        first, last = min(found), max(found)
        if first < last and not whole.kept[storage]:
            bytes_of[first, last] = bytes_of.get((first, last), 0) + whole.sizes[storage]
            crossing[first + 1] += whole.sizes[storage]
            crossing[last + 1] -= whole.sizes[storage]
    waist = int(np.cumsum(crossing)[:count].argmax()) if count else 0
    crossing_pairs = [(*ends, size) for ends, size in sorted(bytes_of.items()) if ends[0] < waist <= ends[1]]
    return _brackets(crossing_pairs, count)


def _brackets(candidates: Sequence[tuple[int, int, int]], count: int) -> list[int | None]:
    """Of (forward, backward, bytes), sorted, the heaviest that lie each inside the one before: numbers by segment."""
    best = np.zeros(count + 1, np.int64)  # by backward segment: the heaviest chain that ends in it
    chain_at = [-1] * (count + 1)
    links: list[tuple[int, int, int]] = []  # (forward, backward, the link outside it) of every chain
    for first, last, size in candidates:  # by rising `last`, so that no chain uses `first` twice
        outer = last + 1 + int(best[last + 1 :].argmax())
        if best[outer] + size > best[last]:
            links.append((first, last, chain_at[outer]))
            best[last] = best[outer] + size
            chain_at[last] = len(links) - 1
    chain, at = [], chain_at[int(best.argmax())]
    while at >= 0:
        first, last, at = links[at]
        chain.append((first, last))
    found: list[int | None] = [None] * count
    for number, (first, last) in enumerate(reversed(chain)):
        found[first] = found[last] = number
    return found


def moves(whole: Problem, updates: Sequence[int], ops: Sequence[Sequence[int]], step: Node) -> list[Moved]:
    """The segment in which each of `updates` (ops, ascending) could have run at once, and that in which it was put.

    `ops`: what each leaf runs.
    """
    place: dict[int, int] = {}
    leaves = iter(ops)
    for number, segment in enumerate(step.children):
        for _ in segment.leaves():
            place.update((op, number) for op in next(leaves))
    home: dict[int, int] = {}
    for op in updates:
        home[op] = max((home.get(before, place[before]) for before in whole.after[op]), default=0)
    return [Moved(op, home[op], place[op]) for op in updates]
