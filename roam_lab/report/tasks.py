"""ROAM's tree of tasks in a few sentences: what it was split into, what was solved exactly, what took longest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from roam_lab.order.tasks import Task


def tasks_text(tree: Task) -> str:
    """How the step was split, how its leaves ended, which leaf took longest, and how many updates were moved."""
    leaves = list(tree.leaves())
    kinds = Counter(task.kind for task in _all(tree))
    pairs = {task.pair for task in _all(tree) if task.pair is not None}
    ends = Counter(leaf.status for leaf in leaves)
    counted = ", ".join(f"{ends[status]:,} {status}" for status in ("optimal", "feasible", "timed out") if ends[status])
    slowest = max(leaves, key=lambda leaf: leaf.solve_seconds)
    solver = f", {slowest.solver}" if slowest.solver else ""
    lines = [
        f"Split into {_count(kinds['segment'], 'segment')} ({_count(len(pairs), 'pair')} of forward and backward), "
        f"solved as {_count(len(leaves), 'leaf', 'leaves')}: {counted}.",
        f"The slowest leaf took {slowest.solve_seconds:.2f} s ({_count(len(slowest.ops), 'op')}{solver}).",
    ]
    if tree.moved:
        late = sum(move.placed != move.home for move in tree.moved)
        counted = f"{late:,} wait{'s' if late == 1 else ''} for a later segment than their own"
        lines.append(f"Of {_count(len(tree.moved), 'update op')}, {counted}.")
    return "\n".join(lines)


def _all(task: Task) -> Iterator[Task]:
    yield task
    for child in task.children:
        yield from _all(child)


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
