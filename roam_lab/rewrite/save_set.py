"""What to save at the hottest instants and what to make again after them, as an integer program (HiGHS)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from roam_lab.rewrite.explorer import Explorer, State
from roam_lab.rewrite.tape import Problem
from roam_lab.solvers.ilp import modeller, solve, variable

UNITS = 1000
"""Of time, in the graph's whole time: the program is solved to half a unit."""
SMALLEST = 1 / 8000
"""Of the scale of bytes: what is smaller is saved without asking."""
NODES = 100
"""Of the solver's search tree."""


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment of a run: `instruction` is running (`main`) or waits for copies; `rest`: bytes that what is merely held
    then does not account for. `exact`: it needs them in every state (an op that cannot be fused, nor run in place)."""

    instruction: int
    main: bool
    rest: int
    exact: bool


@dataclass(frozen=True, slots=True)
class SaveSet:
    """`kept`: for each gap open at one of the instants, whether its storage stays. `us`: what the copies take; `bytes`:
    the most that is held at one of the instants; `bound`: no set is better (in us for given bytes, in bytes for given
    us, if `slack` bytes need not be held, which were saved without asking)."""

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
    """What all ops take together at least, none copied: a fused op takes at least its share of its parts."""
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
    """The set whose copies take least time with at most `target` bytes at every instant; None where there is none.

    saved_v + made_again_p >= 1 for what producer p makes and is needed after the instant; for what p reads, saved_r +
    made_again_q >= made_again_p. A copy counts once, however many instants ask for it. `saved`: storages to be saved
    whatever it costs. `relaxed`: what is saved without asking need not be held, so that `bound` holds for every set.
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
    """The set that holds least at the instants with copies that take at most `us`; `scale`: bytes, above the result."""
    model = _Model(problem, instants, scale, saved)
    model.program += model.time <= us / problem.base_us
    model.program.setObjective(model.held * UNITS)
    return model.solved(nodes, scale / UNITS)


class _Model:
    """The program in the making."""

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
        """What the solver finds; its objective is in `unit`."""
        answer = solve(self.program, node_limit=nodes)
        if not answer.values or answer.objective is None:
            return None
        values = answer.values
        kept = {gap: values.get(name.name, 1.0) > 0.5 for gap, name in self.keep.items()}
        us = sum(values.get(name.name, 0.0) * part for name, part in self.cost.items()) * self.problem.base_us
        held = int(values.get("held", 0.0) * self.scale) + 1
        return SaveSet(kept, us, held, max(0.0, answer.bound or 0.0) * unit, self.slack)

    def _add(self, number: int, instant: Instant) -> None:
        """Constrain what is held at `instant`."""
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
            """The variable that says whether it is held through the instant, 1 where it always is."""
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
        """Ops before `now` that nobody needs before it: their first run can wait, so it is no copy."""
        late: set[int] = set()
        for op in reversed(range(len(self.us))):
            if self.instruction[op] < now and self.again[op]:
                users = [user for storage in self.makes[op] for user in self.users[storage]]
                if all(self.instruction[user] > now or user in late for user in users):
                    late.add(op)
        return late


def applied(explorer: Explorer, state: State, found: SaveSet, dropped: int, dropped_fused: int) -> State:
    """`state` with what is saved kept; what is not gets the state `dropped`, or `dropped_fused` where its producer can
    run inside another op."""
    tape = explorer.problem.tape
    state = state.copy()
    for gap, kept in found.kept.items():
        if not explorer.is_free[gap]:
            continue
        if kept:
            state[gap] = 0
        else:
            storage = explorer.gap_storage[gap]
            state[gap] = dropped_fused if tape.inside[storage] else dropped
    return state
