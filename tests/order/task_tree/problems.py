"""Problems for the tree's tests: hand-made and random, with brute force."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import permutations

from roam_lab.ir import Graph, Op, Storage
from roam_lab.order.problem import Problem, problem_of


def legal(problem: Problem, order: Sequence[int]) -> bool:
    """Whether `order` runs every op once, each after all that it follows."""
    step_of = {op: step for step, op in enumerate(order)}
    whole = sorted(order) == list(range(len(problem)))
    return whole and all(step_of[b] < step_of[op] for op in step_of for b in problem.after[op])


def least_peak(problem: Problem) -> int:
    """The least peak of all legal orders, by trying every one."""
    orders = (order for order in permutations(range(len(problem))) if legal(problem, order))
    return min(problem.peak(order) for order in orders)


def problem(*rows: tuple[Sequence[int], int | None, Sequence[int]]) -> Problem:
    """One op a row: (ops before it, bytes of the storage it creates or None, rows whose storage it reads)."""
    storages: list[Storage] = []
    made: dict[int, int] = {}
    ops = []
    for number, (after, size, reads) in enumerate(rows):
        creates: tuple[int, ...] = ()
        if size is not None:
            made[number] = len(storages)
            creates = (len(storages),)
            storages.append(Storage(size))
        before = tuple(sorted({*after, *reads}))
        ops.append(Op(f"op_{number}", "t", before, creates, tuple(made[read] for read in reads)))
    return problem_of(Graph("rows", tuple(storages), tuple(ops)))


def random_problem(seed: int, most_ops: int = 40) -> Problem:
    """Ops that read what one to three of the eight ops before them made; every fourth makes nothing."""
    draw = random.Random(seed)
    rows: list[tuple[Sequence[int], int | None, Sequence[int]]] = []
    for number in range(draw.randint(2, most_ops)):
        near = range(max(0, number - 8), number)
        reads = {draw.choice(near) for _ in range(draw.randint(1, 3))} if number else set()
        makers = sorted(read for read in reads if rows[read][1] is not None)
        size = None if draw.random() < 0.25 else draw.choice((1, 8, 50, 100, 500))
        rows.append((sorted(reads), size, makers))
    return problem(*rows)
