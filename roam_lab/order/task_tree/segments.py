"""The step's backbone, its memory-insensitive ops and the independent segments between them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from roam_lab.order.problem import Problem

LARGEST_UPDATE = 64
"""Most ops of a weight update: ops off the backbone that are connected, and more, are a branch of the model."""

SLACK = 24
"""A branch floats if it could run this many ops earlier or later than where it is needed."""


def backbone(problem: Problem, updates: Collection[int] = ()) -> list[int]:
    """The ops left, in captured order, when weight updates are taken out.

    A training step's longest chain runs through forward and backward to the first layer's gradient. What its last op
    needs is the backbone; the rest (weight gradients, updates, metrics) hangs off it. `updates`: ops known to be
    updates, which no chain may end in. A large connected part of the rest, such as a second tower, adds a chain of its
    own to the backbone.
    """
    count = len(problem)
    inside = [False] * count
    barred = set(updates)
    free = [op for op in range(count) if op not in barred] or list(range(count))
    loose = [free] if free else []
    depth = [0] * count
    while loose:
        group = loose.pop()
        for op in group:
            depth[op] = 1 + max((depth[before] for before in problem.after[op]), default=0)
        last = max(group, key=lambda op: (depth[op], -op))
        stack, inside[last] = [last], True
        while stack:
            for before in problem.after[stack.pop()]:
                if not inside[before]:
                    inside[before] = True
                    stack.append(before)
        rest = [op for op in group if not inside[op]]
        loose += [part for part in _connected(problem, rest) if len(part) > LARGEST_UPDATE]
    return [op for op in range(count) if inside[op]]


def floating(problem: Problem, ops: Sequence[int]) -> list[int]:
    """Those of the backbone's `ops` that bridge forward and backward by themselves, so that they hide segments.

    For instance what backward computes from an activation alone: it may run any time before its result is needed. They
    are found by slack: no chain through such an op is nearly as long as the longest.
    """
    inside = set(ops)
    above: dict[int, int] = {}
    below: dict[int, int] = {}
    for op in ops:
        above[op] = 1 + max((above[before] for before in problem.after[op] if before in inside), default=0)
    for op in reversed(ops):
        below[op] = 1 + max((below[late] for late in problem.followers[op] if late in inside), default=0)
    longest = max(above.values(), default=0)
    loose = [op for op in ops if longest - (above[op] + below[op] - 1) > SLACK]
    return sorted(op for part in _connected(problem, loose) if len(part) <= LARGEST_UPDATE for op in part)


def _connected(problem: Problem, ops: Sequence[int]) -> list[list[int]]:
    """The connected parts of `ops` under dependences among them, each in captured order."""
    among, parts = set(ops), []
    for op in ops:
        if op not in among:
            continue
        among.discard(op)
        part, stack = [op], [op]
        while stack:
            current = stack.pop()
            for other in (*problem.after[current], *problem.followers[current]):
                if other in among:
                    among.discard(other)
                    part.append(other)
                    stack.append(other)
        parts.append(sorted(part))
    return parts


def insensitive(problem: Problem, order: Iterable[int]) -> list[int]:
    """Steps of the memory-insensitive ops in a legal `order` of some ops: every other precedes or follows them.

    Everything before step s precedes its op if and only if each of those has a follower at or before s; everything
    after it follows if and only if each of those has a predecessor at or after s. Linear in ops and dependences.
    """
    run = list(order)
    step_of = {op: step for step, op in enumerate(run)}
    count = len(run)
    next_ = [min((step_of[o] for o in problem.followers[op] if o in step_of), default=count) for op in run]
    last = [max((step_of[o] for o in problem.after[op] if o in step_of), default=-1) for op in run]
    reached = [count] * (count + 1)  # by suffix: the least `last` of those after a step
    for step in range(count - 1, -1, -1):
        reached[step] = min(reached[step + 1], last[step])
    found, open_until = [], -1
    for step in range(count):
        if open_until <= step and reached[step + 1] >= step:
            found.append(step)
        open_until = max(open_until, next_[step])
    return found
