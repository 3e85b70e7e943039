"""Which storages to save across the instants of highest memory, and which to make again after them: an integer program,
solved by HiGHS."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from roam_lab.rewrite.explorer import Explorer, State
from roam_lab.rewrite.tape import KEEP, Problem
from roam_lab.solvers.ilp import modeller, solve, variable

UNITS = 1000
"""How many units of time the graph's whole time has in the program, which is solved to half a unit."""
SMALLEST = 1 / 8000
"""Storages smaller than this fraction of the program's scale of bytes are always saved, and have no variable."""
NODES = 100
"""The most nodes of the solver's search tree."""


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment of a run, at which memory is high.

    `main`: `instruction` is running then; otherwise an op runs again whose result it needs. `rest`: live bytes without
    those of storages that are only kept for later: operands, results and what a fused op takes. `exact`: `rest` is the
    same in every state (the op can be neither fused nor run in place).
    """

    instruction: int
    main: bool
    rest: int
    exact: bool


@dataclass(frozen=True, slots=True)
class SaveSet:
    """The solution of a program. `kept`: for each gap that spans one of the instants, whether its storage stays; `us`:
    the time of the ops that run again; `bytes`: the most live bytes at one of the instants.

    `bound`: a lower bound over all sets, in us where bytes were given, in bytes where time was given. It holds with
    `slack` bytes less: those of small storages that are always saved, which another set need not hold.
    """

    kept: Mapping[int, bool]
    us: float
    bytes: int
    bound: float
    slack: int


def instant_of(explorer: Explorer, item: int) -> Instant:
    """The instant of an item of the last run."""
    trace, tape = explorer.trace, explorer.problem.tape
    count = int(trace.found[1])
    through = (trace.birth[:count] < item) & (item < trace.last[:count])
    through[trace.reads[trace.reads_at[item] : trace.reads_at[item + 1]]] = False
    held = int(tape.size[trace.instance_storage[:count][through]].sum())
    main = bool(trace.item_main[item])
    now = int(trace.item_instruction[item])
    ops = tape.group[tape.group_at[now] : tape.group_at[now + 1]]
    alone = bool((tape.op_class[ops] < 0).all()) and not (tape.reuse_at[ops + 1] > tape.reuse_at[ops]).any()
    return Instant(now, main, int(trace.curve[item]) - held, main and alone)


def least_us(problem: Problem) -> float:
    """The least time of the graph's ops, in us, none run twice: `Device.fused_share` of the time of those that can be
    fused, the whole time of the others."""
    fusible = problem.tape.op_class >= 0
    return float(problem.tape.op_us[~fusible].sum() + problem.share * problem.tape.op_us[fusible].sum())


def fastest_set(
    problem: Problem,
    instants: Sequence[Instant],
    target: int,
    saved: Collection[int] = (),
    nodes: int = NODES,
    relaxed: bool = False,
) -> SaveSet | None:
    """The set whose copies take least time with at most `target` bytes at every instant; None where none is found.

    Variables are 0 or 1: saved_v for a storage v, made_again_p for an op p. For a storage v that is made by op p and
    needed after an instant: saved_v + made_again_p >= 1. For each storage r, made by op q, that p reads: saved_r +
    made_again_q >= made_again_p. An op that runs again counts once, however many instants ask for it. `saved`: storages
    to be saved whatever that costs. `relaxed`: small storages, which are always saved, do not count as held, so that
    `bound` holds for every set. `nodes`: of the solver's search tree.
    """
    model = _Model(problem, instants, target, saved)
    model.program += model.held <= 1 + (model.slack / model.scale if relaxed else 0)
    model.program.setObjective(model.time * UNITS)
    return model.solved(nodes, problem.base_us / UNITS)


def smallest_set(
    problem: Problem,
    instants: Sequence[Instant],
    us: float,
    scale: int,
    saved: Collection[int] = (),
    nodes: int = NODES,
) -> SaveSet | None:
    """The set with the fewest live bytes at the instants whose copies take at most `us`; None where none is found.
    `scale`: an upper bound of the result, in bytes, by which the program is scaled."""
    model = _Model(problem, instants, scale, saved)
    model.program += model.time <= us / problem.base_us
    model.program.setObjective(model.held * UNITS)
    return model.solved(nodes, scale / UNITS)


class _Model:
    """The integer program, built instant by instant."""

    def __init__(self, problem: Problem, instants: Sequence[Instant], scale: int, saved: Collection[int]) -> None:
        pulp = modeller()
        self.problem, self.scale, self.saved = problem, max(1, scale), frozenset(saved)
        self.program = pulp.LpProblem("save_set", pulp.LpMinimize)
        self.held = variable(self.program, "held", 0, None)
        tape = problem.tape
        self.gap_at, self.gap_instruction = tape.gap_at.tolist(), tape.gap_instruction.tolist()
        self.size, self.creator = tape.size.tolist(), tape.creator.tolist()
        self.again = tape.op_again.tolist()
        self.us = np.where(tape.op_class >= 0, tape.op_us * problem.share, tape.op_us).tolist()
        self.reads = [tape.reads[tape.reads_at[o] : tape.reads_at[o + 1]].tolist() for o in range(len(self.us))]
        self.makes = [tape.makes[tape.makes_at[o] : tape.makes_at[o + 1]].tolist() for o in range(len(self.us))]
        self.instruction = np.repeat(np.arange(len(tape.group_at) - 1), np.diff(tape.group_at)).tolist()
        self.touches = [self.gap_instruction[a:b] for a, b in zip(self.gap_at, self.gap_at[1:], strict=False)]
        self.free = set(problem.free_gaps.tolist())
        self.users: list[list[int]] = [[] for _ in self.size]
        for op, storages in enumerate(self.reads):
            for storage in storages:
                self.users[storage].append(op)
        self.keep: dict[int, Any] = {}
        self.paid: dict[int, Any] = {}
        self.cost: dict[Any, float] = {}
        self.slack = 0  # bytes saved without asking
        for number, instant in enumerate(instants):
            self._add(number, instant)
        self.time = pulp.LpAffineExpression(self.cost)

    def solved(self, nodes: int, unit: float) -> SaveSet | None:
        """The solver's best set; None where it finds none. `unit`: what one unit of the objective is, in us or
        bytes."""
        answer = solve(self.program, node_limit=nodes)
        if not answer.values or answer.objective is None:
            return None
        values = answer.values
        kept = {gap: values[name.name] > 0.5 for gap, name in self.keep.items()}
        us = sum(values[name.name] * part for name, part in self.cost.items()) * self.problem.base_us
        held = int(values["held"] * self.scale) + 1
        return SaveSet(kept, us, held, max(0.0, answer.bound or 0.0) * unit, self.slack)

    def _add(self, number: int, instant: Instant) -> None:
        """Add the variables and constraints of one more instant."""
        pulp = modeller()
        now = instant.instruction
        end = now if instant.main else now - 1  # the last instruction whose touches are past
        late = self._deferrable(now)
        saved: dict[int, Any] = {}
        made: dict[int, Any] = {}
        weights: dict[Any, float] = {}
        fixed = slack = 0
        waiting: list[int] = []
        only: set[int] = set()  # what is there for copies alone and cannot be made again

        def stays(storage: int) -> Any:
            """The variable that says whether the storage is kept through the instant; the constant 1 where it always
            is.
            """
            nonlocal fixed, slack
            if storage in saved:
                return saved[storage]
            touches = self.touches[storage]
            if instant.main and now in touches:
                saved[storage] = 1
                return 1
            gap = self.gap_at[storage] + sum(touch <= end for touch in touches) - 1
            needed = touches[-1] > end
            made_again = gap in self.free and bool(self.again[self.creator[storage]]) and storage not in self.saved
            small = self.size[storage] <= self.scale * SMALLEST
            if needed and (not made_again or small):
                fixed += self.size[storage]
                slack += self.size[storage] if made_again else 0
                saved[storage] = 1
                return 1
            if gap not in self.keep:
                self.keep[gap] = variable(self.program, f"keep{gap}", 0, 1, "Integer")
            saved[storage] = self.keep[gap]
            if not made_again:
                only.add(storage)
            weights[self.keep[gap]] = self.size[storage] / self.scale
            return saved[storage]

        def again(op: int) -> Any:
            if op not in made:
                made[op] = variable(self.program, f"again{number}_{op}", 0, 1)
                waiting.append(op)
                if op not in late:
                    if op not in self.paid:
                        self.paid[op] = variable(self.program, f"paid{op}", 0, 1)
                        self.cost[self.paid[op]] = self.us[op] / self.problem.base_us
                    self.program += self.paid[op] >= made[op]
            return made[op]

        for storage, touches in enumerate(self.touches):
            if touches and touches[0] <= end and touches[-1] > end and not (instant.main and now in touches):
                held = stays(storage)
                if not isinstance(held, int):
                    self.program += held + again(self.creator[storage]) >= 1
        while waiting:
            op = waiting.pop()
            for storage in self.reads[op]:
                held = stays(storage)
                if storage in only:
                    self.program += held >= made[op]
                elif not isinstance(held, int):
                    self.program += held + again(self.creator[storage]) >= made[op]
        self.slack = max(self.slack, slack)
        self.program += pulp.LpAffineExpression(weights) + (instant.rest + fixed) / self.scale <= self.held

    def _deferrable(self, now: int) -> set[int]:
        """Ops before instruction `now` whose results no op needs before it. Their first run can wait until after `now`,
        and then costs no time."""
        late: set[int] = set()
        for op in reversed(range(len(self.us))):
            if self.instruction[op] < now and self.again[op]:
                users = [user for storage in self.makes[op] for user in self.users[storage]]
                if all(self.instruction[user] > now or user in late for user in users):
                    late.add(op)
        return late


def applied(explorer: Explorer, state: State, found: SaveSet, dropped: int, dropped_fused: int) -> State:
    """`state` with KEEP in the gaps of storages that the set saves. The gaps of the others become `dropped`, or
    `dropped_fused` where the producer can run inside a fused op."""
    tape = explorer.problem.tape
    state = state.copy()
    for gap, kept in found.kept.items():
        if not explorer.is_free[gap]:
            continue
        if kept:
            state[gap] = KEEP
        else:
            storage = explorer.gap_storage[gap]
            state[gap] = dropped_fused if tape.inside[storage] else dropped
    return state
