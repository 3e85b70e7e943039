"""The order as an integer program, each step named by the one op that it runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Any

from roam_lab.order.problem import Problem
from roam_lab.order.reduce.precedence import bits, topological
from roam_lab.order.search.tightened import masks_of, open_pairs
from roam_lab.solvers.ilp import modeller

Term = Any
"""A variable of the program, a sum of them, or 0 or 1."""


class SequenceProgram:
    """Least peak over all sequences of a problem's ops (jobs, where it is reduced), as a pulp program.

    Where one op runs at a time, a step may be named by its op: "storage e is preserved at step t" becomes "e is alive
    while v runs". Its creator has run by then, and one of its users has not. So the binaries say which of
    two ops comes first, where that is open (what ASAP and ALAP windows are here), three at a time never in a circle.
    Sizes are divided by their greatest common divisor. For every v, the rows that set what is alive are those of a
    minimum cut, so the relaxation proves what the certificate proves, where that of numbered steps proves next to
    nothing.
    """

    def __init__(self, problem: Problem, low_bytes: int, high_bytes: int) -> None:
        """The peak is to lie between `low_bytes` and `high_bytes`, both included."""
        pulp = modeller()

        self.problem = problem
        self.before, self.later = masks_of(problem)
        self.unit = math.gcd(problem.base_bytes, *problem.sizes)
        self.program = pulp.LpProblem("sequence", pulp.LpMinimize)
        self.first = {(a, b): pulp.LpVariable(f"op_{a}_before_{b}", cat=pulp.LpBinary) for a, b in open_pairs(problem)}
        peak = pulp.LpVariable("peak", -(-low_bytes // self.unit), high_bytes // self.unit, cat=pulp.LpInteger)
        self.program += peak
        self._no_circles()
        for op in range(len(problem)):
            always, terms, most = self._alive(op)
            if most * self.unit > low_bytes:
                self.program += peak >= always + pulp.lpSum(terms)

    @staticmethod
    def rows(problem: Problem) -> int:
        """How many rows the program would have, at most."""
        count, pairs = len(problem), len(open_pairs(problem))
        return 2 * pairs * count // 3 + sum(map(len, problem.users)) * count

    def order(self, values: Mapping[str, float]) -> list[int]:
        """The order that a solution stands for."""
        preds = [set(bits(mask)) for mask in self.before]
        succs = [set(bits(mask)) for mask in self.later]
        for (a, b), variable in self.first.items():
            early, late = (a, b) if values[variable.name] > 0.5 else (b, a)
            preds[late].add(early)
            succs[early].add(late)
        order = topological(preds, succs)
        if len(order) < len(preds):
            raise ArithmeticError("the solver's sequence goes in a circle")
        return order

    def _comes(self, a: int, b: int) -> Term:
        """1 if op `a` comes before op `b`, else 0."""
        if (a, b) in self.first:
            return self.first[a, b]
        if (b, a) in self.first:
            return 1 - self.first[b, a]
        return self.before[b] >> a & 1

    def _no_circles(self) -> None:
        for a, b, c in combinations(range(len(self.problem)), 3):
            if ((a, b) in self.first) + ((b, c) in self.first) + ((a, c) in self.first) >= 2:
                turns = self._comes(a, b) + self._comes(b, c) - self._comes(a, c)
                self.program += turns >= 0
                self.program += turns <= 1

    def _alive(self, op: int) -> tuple[int, list[Term], int]:
        """What is alive while `op` runs, in units: for certain, depending on the sequence, and at most."""
        pulp = modeller()

        problem = self.problem
        always = most = problem.base_bytes // self.unit
        terms: list[Term] = []
        for storage, users in enumerate(problem.users):
            size = problem.sizes[storage] // self.unit
            created = 1 if problem.given[storage] or users[0] == op else self._comes(users[0], op)
            over: list[Term] = [self._comes(user, op) for user in users if user != op]
            if problem.kept[storage] or op in users or any(isinstance(done, int) and not done for done in over):
                over = [0]
            over = [done for done in over if not (isinstance(done, int) and done)]
            if not over or (isinstance(created, int) and not created):
                continue
            most += size
            if len(over) == 1:
                alive = created - over[0]
            else:
                alive = pulp.LpVariable(f"storage_{storage}_at_{op}", 0, 1)
                for done in over:
                    self.program += alive >= created - done
            if isinstance(alive, int):
                always += size * alive
            else:
                terms.append(size * alive)
        return always, terms, most
