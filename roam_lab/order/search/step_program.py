"""The order as an integer program over numbered steps, as MODeL (OLLA) has it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from roam_lab.order.problem import Problem
from roam_lab.order.reduce.precedence import topological
from roam_lab.solvers.ilp import modeller


class StepProgram:
    """MODeL's program: in which step each op runs, which storages are preserved in each; several ops may share a step.

    Binaries only inside windows: an op runs at its level at the earliest, at its level from the end at the latest; a
    storage is preserved after its creator could have run until its last user must have. Between surely created and
    surely needed it is preserved without a variable. Ops in one step hold all that they use at once, so putting them
    one after the other lowers what is alive: an order read off a solution peaks no higher than the solution, and
    the optimum is that of one op a step.
    """

    def __init__(self, problem: Problem, low_bytes: int, high_bytes: int) -> None:
        """The peak is to lie between `low_bytes` and `high_bytes`, both included."""
        pulp = modeller()

        self.problem, self.unit = problem, math.gcd(problem.base_bytes, *problem.sizes)
        self.soonest, self.latest = windows(problem)
        program = self.program = pulp.LpProblem("steps", pulp.LpMinimize)
        peak = pulp.LpVariable("peak", -(-low_bytes // self.unit), high_bytes // self.unit, cat=pulp.LpInteger)
        program += peak
        self.generate = [
            {step: pulp.LpVariable(f"run_{op}_{step}", cat=pulp.LpBinary) for step in range(soon, late + 1)}
            for op, (soon, late) in enumerate(zip(self.soonest, self.latest, strict=True))
        ]
        for op, steps in enumerate(self.generate):
            program += pulp.lpSum(steps.values()) == 1
            for other in problem.after[op]:
                for step in steps:
                    earlier = [variable for at, variable in self.generate[other].items() if at < step]
                    if len(earlier) < len(self.generate[other]):
                        program += pulp.lpSum(v for at, v in steps.items() if at <= step) <= pulp.lpSum(earlier)
        self.preserve = [self._preserved(storage) for storage in range(len(problem.users))]
        for step in range(len(problem)):
            alive = [
                size // self.unit * (self._generated(users[0], step, problem.given[storage]) + kept.get(step, 0))
                for storage, (users, size, kept) in enumerate(
                    zip(problem.users, problem.sizes, self.preserve, strict=True)
                )
            ]
            program += peak >= problem.base_bytes // self.unit + pulp.lpSum(alive)

    @staticmethod
    def rows(problem: Problem) -> int:
        """How many rows the program would have, at most."""
        soonest, latest = windows(problem)
        wide = [late - soon + 1 for soon, late in zip(soonest, latest, strict=True)]
        deps = sum(wide[op] for op, before in enumerate(problem.after) for _ in before)
        return deps + sum(wide[op] for users in problem.users for op in users) * 3

    def order(self, values: Mapping[str, float]) -> list[int]:
        """The order that a solution stands for: by step, then by captured order."""
        step_of = [max(steps, key=lambda step: values[steps[step].name]) for steps in self.generate]
        return sorted(range(len(step_of)), key=lambda op: (step_of[op], op))

    def start(self, order: Sequence[int]) -> dict[str, float]:
        """The variables' values that stand for `order`, one op a step, as far as its steps lie in the windows."""
        step_of = {op: step for step, op in enumerate(order)}
        return {v.name: float(step == step_of[op]) for op, vs in enumerate(self.generate) for step, v in vs.items()}

    def _generated(self, op: int, step: int, given: bool) -> Any:
        return 0 if given else self.generate[op].get(step, 0)

    def _preserved(self, storage: int) -> dict[int, Any]:
        """Step -> whether the storage is preserved in it: a variable, or 1; steps where it cannot be are left out."""
        pulp = modeller()

        problem, program = self.problem, self.program
        users, given, kept = problem.users[storage], problem.given[storage], problem.kept[storage]
        creator, readers = users[0], users if given else users[1:]
        begin = 0 if given else self.soonest[creator] + 1
        end = len(problem) - 1 if kept else max((self.latest[user] for user in readers), default=-1)
        sure_from = 0 if given else self.latest[creator] + 1
        sure_to = len(problem) - 1 if kept else max((self.soonest[user] for user in readers), default=-1)
        held: dict[int, Any] = {}
        for step in range(begin, end + 1):
            if sure_from <= step <= sure_to:
                held[step] = 1
                continue
            held[step] = preserve = pulp.LpVariable(f"keep_{storage}_{step}", cat=pulp.LpBinary)
            generated = self._generated(creator, step, given)
            if step > begin or not given:
                program += preserve <= held.get(step - 1, 0) + self._generated(creator, step - 1, given)
            program += preserve + generated <= 1
            if kept:
                made = [v for at, v in self.generate[creator].items() if at < step]
                program += preserve >= pulp.lpSum(made)
            for user in readers:
                if step in self.generate[user]:
                    program += self.generate[user][step] <= preserve
        return held


def windows(problem: Problem) -> tuple[list[int], list[int]]:
    """The first and the last step in which each op can run, of as many steps as there are ops, if steps are shared."""
    order = topological(problem.after, problem.followers)
    soonest, latest = [0] * len(problem), [len(problem) - 1] * len(problem)
    for op in order:
        soonest[op] = max((soonest[other] + 1 for other in problem.after[op]), default=0)
    for op in reversed(order):
        latest[op] = min((latest[other] - 1 for other in problem.followers[op]), default=len(problem) - 1)
    return soonest, latest
