"""Peak and time of a state, beside a second run on paper: ops one by one, no chain, nothing in place."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.rewrite.evaluate import evaluate
from roam_lab.rewrite.tape import DROP, HOLD, KEEP, NEVER, Problem, problem_of
from roam_lab.rewrite.trace import GROWTH, new_trace
from tests.rewrite.graphs import Writer, random_step


class Plain:
    """A run of `state`, op by op: `ran`, the ops in running order, and `lives`, of each storage made."""

    def __init__(self, problem: Problem, state) -> None:
        graph, tape = problem.graph, problem.tape
        self.tape, self.state = tape, state.tolist()
        planned = [not storage.always_there for storage in graph.storages]
        self.ops = [graph.ops[op] for op in problem.order]
        self.reads = [[s for s in op.touches if planned[s]] for op in self.ops]
        self.maker = {s: number for number, op in enumerate(self.ops) for s in op.creates if planned[s]}
        self.makes = [[s for s in op.creates if planned[s]] for op in self.ops]
        self.gaps = [range(low, high) for low, high in zip(tape.gap_at[:-1], tape.gap_at[1:], strict=True)]
        self.begins = tape.gap_instruction.tolist()
        self.lives: list[list[int]] = []  # [storage, first item, last item]
        self.live: dict[int, list[int]] = {}
        self.pins = dict.fromkeys(range(len(graph.storages)), 0)
        self.ran: list[int] = []
        for now, made in enumerate(self.makes):
            self.now = now
            kept = any(self.state[self.gaps[storage][0]] == KEEP for storage in made)
            if kept or not self.again(self.now):
                self.run(self.now)
            for storage in (*self.reads[self.now], *made):
                if self.state[self.gap_after(storage)] != KEEP:
                    self.live.pop(storage, None)
        self.us = sum(self.ops[op].time_us for op in self.ran)
        held = np.zeros(len(self.ran), np.int64)
        for life in self.lives:
            storage, first, last = life
            life[2] = len(self.ran) - 1 if graph.storages[storage].output else last
            held[first : life[2] + 1] += graph.storages[storage].bytes
        self.peak = int(held.max(initial=0))
        self.hottest = int(held.argmax())

    def again(self, op: int) -> bool:
        return bool(self.tape.op_again[op]) and self.now < self.tape.op_until[op]

    def touched(self, storage: int) -> bool:
        return self.now in [self.begins[gap] for gap in self.gaps[storage]]

    def gap_after(self, storage: int) -> int:
        """The gap that begins behind the running instruction."""
        return next(gap for gap in self.gaps[storage] if self.begins[gap] == self.now)

    def said(self, storage: int) -> int | None:
        """What the state says of the gap that the storage is in; None before its first."""
        past = [gap for gap in self.gaps[storage] if self.begins[gap] < self.now]
        return self.state[past[-1]] if past else None

    def run(self, op: int) -> None:
        for storage in self.reads[op]:
            self.pins[storage] += 1
        for storage in self.reads[op]:
            if storage not in self.live:
                if not self.again(self.maker[storage]):
                    raise LookupError(storage)
                self.run(self.maker[storage])
        item = len(self.ran)
        self.ran.append(op)
        for storage in self.reads[op]:
            self.live[storage][2] = item
            self.pins[storage] -= 1
        for storage in self.makes[op]:
            life = [storage, item, item]
            self.lives.append(life)
            stays = self.state[self.gap_after(storage)] == KEEP if self.touched(storage) else self.said(storage) == HOLD
            if storage not in self.live and (stays or self.pins[storage]):
                self.live[storage] = life
        for storage in self.reads[op]:
            if not self.pins[storage] and not self.touched(storage) and self.said(storage) == DROP:
                self.live.pop(storage, None)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from((0.0, 0.3, 0.7, 1.0)))
def test_peak_and_time_are_those_of_a_plain_run(seed, state_seed, rate):
    problem = problem_of(random_step(seed), {"recompute"})
    random = np.random.default_rng(state_seed)
    state = problem.start.copy()
    picked = problem.free_gaps[random.random(len(problem.free_gaps)) < rate]
    state[picked] = random.integers(0, 3, len(picked))
    compare(problem, state)


def test_a_result_that_is_there_stays_where_its_op_makes_another_one_again():
    """The op that runs first makes two results, of which one is kept, the other made again between."""
    write = Writer()
    kept, dropped, between = (write.storage(size) for size in (64, 100, 500))
    write.op((kept, dropped))
    write.op((between,))
    write.op((), (kept, between))
    write.op((), (dropped,))
    write.op((), (kept,))
    problem = problem_of(write.graph(), {"recompute"}, order=range(5))
    state = problem.start.copy()
    for values in product((KEEP, DROP, HOLD), repeat=len(problem.free_gaps)):
        state[problem.free_gaps] = values
        compare(problem, state)


def compare(problem, state):
    """All that both runs say of the state is the same."""
    trace = new_trace(problem)
    cost = evaluate(problem, state, trace, target=100)
    try:
        plain = Plain(problem, state)
    except LookupError:
        assert not cost.possible
        return
    if len(plain.ran) >= GROWTH * len(problem.order):  # it may be refused; see the test below
        return
    assert (cost.peak, cost.hottest) == (plain.peak, plain.hottest)
    assert cost.us == pytest.approx(plain.us)
    assert cost.highest == max(0, plain.peak - 100)
    assert trace.ops[: trace.found[0]].tolist() == plain.ran
    lives = zip(trace.instance_storage, trace.birth, trace.last, strict=True)
    assert [[int(each) for each in life] for life in lives][: trace.found[1]] == plain.lives


def chain(length: int):
    """`length` ops, each of which reads the result before; then backward ops, each of which reads one result, the last
    made first."""
    write = Writer()
    made = [write.storage(64) for _ in range(length)]
    for before, storage in zip([None, *made], made, strict=False):
        write.op((storage,), () if before is None else (before,))
    for storage in reversed(made):
        write.op((), (storage,))
    return write.graph()


@pytest.mark.parametrize("length", [2, 5, 10, 20, 21, 22, 23, 24, 25, 26, 40])
def test_a_state_may_run_growth_times_the_ops_and_not_many_more(length):
    """Every result dropped at once: each backward op runs the chain from its first op on."""
    problem = problem_of(chain(length), {"recompute"})
    assert (problem.tape.op_until == NEVER).all()
    state = problem.start.copy()
    state[problem.free_gaps] = DROP
    runs = length + length * (length + 1) // 2
    assert len(Plain(problem, state).ran) == runs
    cost = evaluate(problem, state, new_trace(problem))
    assert cost.possible == (runs < GROWTH * 2 * length + 16)
    if cost.possible:
        assert cost.us == runs
