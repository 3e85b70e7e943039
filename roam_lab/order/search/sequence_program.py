"""The order as an integer program, each step named by the one op that it runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Any

from roam_lab.order.search.precedence import Joined
from roam_lab.order.search.runs import bits, topological
from roam_lab.solvers.ilp import modeller

Term = Any
"""A variable of the program, a sum of them, or 0 or 1."""


class SequenceProgram:
    """Least peak over all sequences of the runs of a problem, as a pulp program.

    Where one op runs at a time, a step may be named by its op: "storage e is preserved at step t" becomes "e is alive
    while v runs". Its creator has run by then, and one of its users has not. So the binaries say which of
    two runs comes first, where that is open (what ASAP and ALAP windows are here), three at a time never in a circle.
    Sizes are divided by their greatest common divisor. For every v, the rows that set what is alive are those of a
    minimum cut, so the relaxation proves what the certificate proves, where that of numbered steps proves next to
    nothing.
    """

    def __init__(self, joined: Joined, low_bytes: int, high_bytes: int) -> None:
        """The peak is to lie between `low_bytes` and `high_bytes`, both included."""
        pulp = modeller()

        self.joined, self.problem = joined, joined.problem
        self.unit = math.gcd(self.problem.base_bytes, *self.problem.sizes)
        self.run_of = {op: number for number, run in enumerate(joined.runs) for op in run}
        self.program = pulp.LpProblem("sequence", pulp.LpMinimize)
        self.first = {(a, b): pulp.LpVariable(f"run_{a}_before_{b}", cat=pulp.LpBinary) for a, b in joined.open_pairs()}
        peak = pulp.LpVariable("peak", -(-low_bytes // self.unit), high_bytes // self.unit, cat=pulp.LpInteger)
        self.program += peak
        self._no_circles()
        for number, run in enumerate(joined.runs):
            for place, op in enumerate(run):
                always, terms, most = self._alive(number, place, op)
                if most * self.unit > low_bytes:
                    self.program += peak >= always + pulp.lpSum(terms)

    @staticmethod
    def rows(joined: Joined) -> int:
        """How many rows the program would have, at most."""
        count, pairs = len(joined.runs), len(joined.open_pairs())
        return 2 * pairs * count // 3 + sum(map(len, joined.problem.users)) * count

    def order(self, values: Mapping[str, float]) -> list[int]:
        """The order that a solution stands for."""
        count = len(self.joined.runs)
        preds = [set(bits(mask)) for mask in self.joined.before]
        succs = [set(bits(mask)) for mask in self.joined.later]
        for (a, b), variable in self.first.items():
            early, late = (a, b) if values[variable.name] > 0.5 else (b, a)
            preds[late].add(early)
            succs[early].add(late)
        order = topological(preds, succs)
        if len(order) < count:
            raise ArithmeticError("the solver's sequence goes in a circle")
        return [op for run in order for op in self.joined.runs[run]]

    def _comes(self, a: int, b: int) -> Term:
        """1 if run `a` comes before run `b`, else 0."""
        if (a, b) in self.first:
            return self.first[a, b]
        if (b, a) in self.first:
            return 1 - self.first[b, a]
        return self.joined.before[b] >> a & 1

    def _no_circles(self) -> None:
        for a, b, c in combinations(range(len(self.joined.runs)), 3):
            if ((a, b) in self.first) + ((b, c) in self.first) + ((a, c) in self.first) >= 2:
                turns = self._comes(a, b) + self._comes(b, c) - self._comes(a, c)
                self.program += turns >= 0
                self.program += turns <= 1

    def _alive(self, run: int, place: int, op: int) -> tuple[int, list[Term], int]:
        """What is alive while `op` runs, in units: for certain, depending on the sequence, and at most."""
        pulp = modeller()

        problem, inside = self.problem, self.joined.runs[run]
        always = most = problem.base_bytes // self.unit
        terms: list[Term] = []
        for storage, users in enumerate(problem.users):
            size = problem.sizes[storage] // self.unit
            creator = users[0]
            if problem.given[storage]:
                created: Term = 1
            elif creator in inside:
                created = int(creator in inside[: place + 1])
            else:
                created = self._comes(self.run_of[creator], run)
            over: list[Term] = [self._comes(other, run) for other in {self.run_of[u] for u in users} if other != run]
            needed = problem.kept[storage] or any(user in inside[place:] for user in users)
            if needed or any(isinstance(done, int) and not done for done in over):
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
