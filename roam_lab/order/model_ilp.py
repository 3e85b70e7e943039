"""The order by integer programming: MODeL (OLLA), the rival that ROAM is measured against."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field

from roam_lab.ir import Graph, captured_order
from roam_lab.order.bound import WORK_LIMIT, bound_of
from roam_lab.order.effort import Effort, SpentError
from roam_lab.order.list_scheduling import best_pass
from roam_lab.order.outcome import Outcome
from roam_lab.order.problem import problem_of
from roam_lab.order.reduce.reduced import Reduced, reduced
from roam_lab.order.search.sequence_program import SequenceProgram
from roam_lab.order.search.step_program import StepProgram
from roam_lab.order.search.tightened import alike_in_sequence, open_pairs, tightened
from roam_lab.registry import Parameter, strategy
from roam_lab.solvers.ilp import SOLVERS, Solved, solve

ROWS = 200_000
"""Most rows of a program: so many are built in seconds."""

ROWS_A_SECOND = 20_000
"""Rows built in a second, at least, on a busy machine: a program that would not be ready in time is not begun."""

FEW_PAIRS = 60
"""With fewer open pairs of jobs, a program is solved faster than its range of peaks is halved."""


@strategy(
    "order",
    "model_ilp",
    source="MODeL / OLLA (Steiner et al.), the integer program that ROAM (arXiv 2310.19295) is measured against",
    parameters=(
        Parameter("streams", str, "single", "single: one op a step; multi: any number", choices=("single", "multi")),
        Parameter("solver", str, "highs", "what solves the programs", choices=SOLVERS),
        Parameter("rows", int, ROWS, "rows of the largest program that is built", low=1),
        Parameter("time_limit", float, 60.0, "seconds", low=0),
        Parameter("seed", int, 0, "the solver's"),
    ),
)  # fmt: skip
def model_ilp(graph: Graph, streams: str, solver: str, rows: int, time_limit: float, seed: int) -> Outcome:
    """The proven optimum of graphs up to some 60 ops by integer programming; the list schedule where that is too much.

    Begins with the better of the captured order and the list schedule, and with the minimum cut's bound; if they
    meet, that is the proof. The problem is reduced, and chains that are alike run in sequence.

    | streams | the program                                                                                     |
    |---------|-------------------------------------------------------------------------------------------------|
    | single  | steps named by the op that they run (`SequenceProgram`); the range between bound and best peak  |
    |         | is narrowed by programs that ask for a peak in its lower third, each with the precedences that  |
    |         | such a peak enforces                                                                            |
    | multi   | numbered steps as published (`StepProgram`), one program over the whole range                   |

    Both have the same optimum: ops that share a step hold at once what one after the other would hold in turn. What
    "multi" finds is put in line by step, then by captured order, and its peak is that of the line. The published
    form proves little beyond 20 ops; "single" is our own, which is why it is the default.
    """
    deadline = time.perf_counter() + time_limit
    problem = problem_of(graph)
    start = list(captured_order(graph))
    if time_limit > 0:
        start = min(start, best_pass(problem), key=problem.peak)
    low = bound_of(problem, start, Effort(WORK_LIMIT, time.perf_counter() + time_limit / 4)).bytes
    search = _Search(start, problem.peak(start), low, solver, rows, Effort(0, deadline), seed)
    if search.open:
        with suppress(SpentError):
            narrow = alike_in_sequence(reduced(problem, search.effort), search.effort)
            (search.by_sequence if streams == "single" else search.by_step)(narrow)
    if not search.open:
        return Outcome(tuple(search.order), search.high)
    note = (
        f"model_ilp stopped at {search.stopped} with {search.high} bytes, where no order needs less than {search.low}; "
        "raise time_limit, or use auto"
    )
    own = search.order != start
    by = "" if own else "captured" if tuple(start) == captured_order(graph) else "list"
    return Outcome(tuple(search.order), timed_out=True, note=note, strategy=by)


@dataclass
class _Search:
    """The best order so far, its peak `high`, and `low`, below which no order's peak lies."""

    order: list[int]
    high: int
    low: int
    solver: str
    rows: int
    effort: Effort
    seed: int
    stopped: str = field(default="its time limit")

    @property
    def open(self) -> bool:
        return self.low < self.high

    def by_sequence(self, left: Reduced) -> None:
        """Ask for a peak in the lower third of the range, or in all of it once few pairs are open, until the range is
        empty or the time is over."""
        pairs = FEW_PAIRS
        if self._too_large(SequenceProgram.rows(left.problem)):
            return
        while self.open and not self.effort.late:
            target = self.high - 1 if pairs < FEW_PAIRS else self.low + (self.high - 1 - self.low) // 3
            narrow = tightened(left, target + 1, self.effort)
            if narrow is None:
                self.low = target + 1
                continue
            pairs = len(open_pairs(narrow.problem))
            self._take(narrow, best_pass(narrow.problem))
            if self.high <= target:
                continue
            if not self._solve_sequence(narrow, target):
                return

    def _solve_sequence(self, narrow: Reduced, target: int) -> bool:
        """Search for a peak of at most `target`; False: there was no time, or the solver was stopped."""
        if self._too_late(SequenceProgram.rows(narrow.problem)):
            return False
        program = SequenceProgram(narrow.problem, self.low, target)
        if not program.first:  # one order is left
            self.low = max(self.low, min(target + 1, narrow.problem.peak(program.order({}))))
            return True
        solved = self._solved(program.program)
        if solved.values:
            self._take(narrow, program.order(solved.values))
        if solved.answer == "infeasible":
            self.low = target + 1
        elif solved.answer == "optimal":
            self.low = self.high
        return solved.answer in ("infeasible", "optimal")

    def by_step(self, left: Reduced) -> None:
        """One program over the whole range, begun with the best order known."""
        run = best_pass(left.problem)
        self._take(left, run)
        if not self.open or self._too_large(rows := StepProgram.rows(left.problem)) or self._too_late(rows):
            return
        program = StepProgram(left.problem, self.low, self.high)
        solved = self._solved(program.program, program.start(run))
        if solved.values:
            self._take(left, program.order(solved.values))
        if solved.answer == "optimal":
            self.low = self.high

    def _solved(self, program: object, start: dict[str, float] | None = None) -> Solved:
        solved = solve(program, self.solver, self.effort.seconds, start, self.seed)
        if solved.answer in ("unknown", "feasible") and not self.effort.late:
            self.stopped = f"an answer of {self.solver} that settles nothing"
        return solved

    def _take(self, left: Reduced, run: list[int]) -> None:
        order = left.order(run)
        peak = left.whole.peak(order)
        if peak < self.high:
            self.order, self.high = order, peak

    def _too_late(self, rows: int) -> bool:
        return self.effort.seconds is not None and rows / ROWS_A_SECOND > self.effort.seconds

    def _too_large(self, rows: int) -> bool:
        if rows > self.rows:
            self.stopped = f"{self.rows} rows, as the program would have {rows},"
        return rows > self.rows
