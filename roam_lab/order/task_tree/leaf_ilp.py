"""A leaf's order as an integer program: which ops have run by which step, and what is alive then."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import Any

from roam_lab.order.problem import Problem
from roam_lab.order.reduce.precedence import reach
from roam_lab.solvers.ilp import Solved, modeller, solve, variable


def windows(problem: Problem) -> list[tuple[int, int]]:
    """The first and the last step that each op can run in."""
    last = len(problem) - 1
    return [(len(reach(problem.after, op)), last - len(reach(problem.followers, op))) for op in range(len(problem))]


def solve_leaf_ilp(
    problem: Problem, order: Sequence[int], floor_bytes: int, solver: str, time_limit: float | None, node_limit: int
) -> tuple[Solved, list[int] | None]:
    """Minimise the peak, from `order` on; an order (if any solution was found) and what the solver says of it.

    done[op, t]: the op has run by step t; a constant outside its window; one more op has by each step. alive[s, t]: 1
    if storage s has been created by t and one of its users had not run by t - 1. The peak is counted in units
    of the sizes' greatest common divisor, above what is alive throughout; it is no lower than `floor_bytes`.
    """
    pulp = modeller()

    count = len(problem)
    unit = gcd(*problem.sizes) or 1
    program = pulp.LpProblem("leaf", pulp.LpMinimize)
    floor = max(0, -(-(floor_bytes - problem.base_bytes) // unit))
    ceiling = (problem.peak(order) - problem.base_bytes) // unit
    peak = variable(program, "peak", floor, ceiling, "Integer")
    program += peak
    span = windows(problem)
    made = {
        (op, step): variable(program, f"d{op}_{step}", 0, 1, "Binary")
        for op, (first, last) in enumerate(span)
        for step in range(first, last)
    }

    def done(op: int, step: int) -> Any:
        return made.get((op, step), int(step >= span[op][1]))

    for step in range(count):
        program += pulp.lpSum(done(op, step) for op in range(count)) == step + 1
    for op, (first, last) in enumerate(span):
        for step in range(first + 1, last):
            program += made[op, step - 1] <= made[op, step]
        for before in problem.after[op]:
            for step in range(first, last):
                if step - 1 < span[before][1]:
                    program += made[op, step] <= done(before, step - 1)
    live: list[list[Any]] = [[] for _ in range(count)]
    for storage, users in enumerate(problem.users):
        size = problem.sizes[storage] // unit
        begin = 0 if problem.given[storage] else span[users[0]][0]
        end = count if problem.kept[storage] else max(span[user][1] for user in users) + 1
        for step in range(begin, end):
            created = 1 if problem.given[storage] else done(users[0], step)
            waiting = [0] if problem.kept[storage] else [done(user, step - 1) if step else 0 for user in users]
            if isinstance(created, int) and any(isinstance(ran, int) and not ran for ran in waiting):
                live[step].append(size)
                continue
            alive = variable(program, f"a{storage}_{step}", 0, 1)
            for ran in waiting:
                program += alive >= created - ran
            live[step].append(size * alive)
    for step in range(count):
        program += pulp.lpSum(live[step]) <= peak
    step_of = {op: step for step, op in enumerate(order)}
    start = {variable.name: float(step_of[op] <= step) for (op, step), variable in made.items()}
    solved = solve(program, solver, time_limit, start, node_limit=node_limit)
    if not solved.values:
        return solved, None
    ran_by = [
        last - round(sum(solved.values[made[op, step].name] for step in range(first, last)))
        for op, (first, last) in enumerate(span)
    ]
    return solved, sorted(range(count), key=lambda op: ran_by[op])
