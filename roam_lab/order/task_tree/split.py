"""Splitting: a run of jobs into segments, a segment that is too large into parts, at cheap moments in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from roam_lab.order.problem import Array, Problem
from roam_lab.order.task_tree.segments import insensitive
from roam_lab.order.tasks import Kind


@dataclass(slots=True)
class Node:
    """The steps [low, high) of a run, as one task of the tree."""

    kind: Kind
    low: int
    high: int
    children: list[Node] = field(default_factory=list)

    def leaves(self) -> list[Node]:
        """Every node without children, in the sequence in which they run."""
        found, stack = [], [self]
        while stack:
            node = stack.pop()
            if not node.children:
                found.append(node)
            stack += reversed(node.children)
        return found


def carried_bytes(problem: Problem, run: Sequence[int]) -> Array:
    """Bytes alive between each step of `run` and the next (none after the last)."""
    count = len(run)
    step_of = {op: step for step, op in enumerate(run)}
    change = np.zeros(count + 1, np.int64)
    for storage, users in enumerate(problem.users):
        steps = [step_of[op] for op in users]
        begin = 0 if problem.given[storage] else min(steps)
        end = count if problem.kept[storage] else max(steps)
        change[begin] += problem.sizes[storage]
        change[end] -= problem.sizes[storage]
    return np.cumsum(change[:-1]) + problem.base_bytes


def waist(carried: Array, bounds: Sequence[int]) -> int:
    """The bound (a step at which a segment begins) that the most bytes cross: between forward and backward. 0: none."""
    inner = [bound for bound in bounds if 0 < bound <= len(carried)]
    return max(inner, key=lambda bound: (int(carried[bound - 1]), -bound), default=0)


def tree_of(problem: Problem, run: Sequence[int], weights: Sequence[int], bounds: Sequence[int], limit: int) -> Node:
    """The step as segments between `bounds`, and these as parts, until each leaf weighs `limit` ops or less.

    `weights`: how many of the graph's ops each step runs. Neighbouring segments are one task while they weigh no more
    than the limit together: solving them jointly loses nothing; but none spans the waist. A step heavier than the limit
    is a leaf by itself.
    """
    sums = np.concatenate([[0], np.cumsum(weights)]).astype(np.int64)
    step = Node("step", 0, len(run))
    if sums[-1] <= limit:
        step.children = [Node("segment", 0, len(run), [Node("leaf", 0, len(run))])]
        return step
    carried = carried_bytes(problem, run)
    middle = waist(carried, bounds)
    low, ends = 0, [bound for bound in bounds if bound > 0] + [len(run)]
    for number, end in enumerate(ends):
        following = ends[number + 1] if number + 1 < len(ends) else None
        if end == middle or following is None or sums[following] - sums[low] > limit:
            step.children.append(Node("segment", low, end))
            low = end
    for segment in step.children:
        _split(problem, run, segment, sums, carried, limit)
    return step


def _split(problem: Problem, run: Sequence[int], segment: Node, sums: Array, carried: Array, limit: int) -> None:
    """Split until every leaf weighs `limit` or less: at local cut points near the middle, else where it is cheapest."""
    stack = [segment]
    while stack:
        node = stack.pop()
        weight = sums[node.high] - sums[node.low]
        if weight <= limit or node.high - node.low == 1:
            if node.kind == "segment":
                node.children = [Node("leaf", node.low, node.high)]
            else:
                node.kind = "leaf"
            continue
        at = _cut_point(problem, run, node, sums, carried)
        node.children = [Node("part", node.low, at), Node("part", at, node.high)]
        stack += node.children


def _cut_point(problem: Problem, run: Sequence[int], node: Node, sums: Array, carried: Array) -> int:
    first, last = sums[node.low], sums[node.high]
    quarter = (last - first) // 4
    inner = np.arange(node.low + 1, node.high)
    central = inner[(sums[inner] >= first + quarter) & (sums[inner] <= last - quarter)]
    if not len(central):  # one heavy step takes the middle
        central = inner[[int(np.abs(2 * sums[inner] - first - last).argmin())]]
    local = {node.low + step for step in insensitive(problem, run[node.low : node.high])}
    steps: list[int] = central.tolist()
    return min(steps, key=lambda step: (step not in local, int(carried[step - 1]), step))
