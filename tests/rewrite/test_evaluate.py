"""Peak, time and every item of a state's run, beside a run on paper in plain Python."""

from collections import Counter
from dataclasses import replace
from itertools import accumulate, product

import numpy as np
import pytest

from roam_lab.ir.graph import Device
from roam_lab.rewrite.evaluate import Cost, evaluate
from roam_lab.rewrite.kinds import ON_DEVICE
from roam_lab.rewrite.tape import DROP, HOLD, KEEP, NEVER, SCRATCH_BYTES, problem_of
from roam_lab.rewrite.trace import GROWTH, new_trace
from tests.rewrite.graphs import Writer, random_step
from tests.rewrite.plain import Plain

CHEAP = Device(1e12, 1e12, 1.0, 2**20, 1e9, fused_share=0.5)


def random_state(problem, random):
    """Now and then one that also drops what cannot be made again."""
    state = problem.start.copy()
    gaps = problem.free_gaps if random.random() < 0.9 else np.arange(len(state))
    picked = gaps[random.random(len(gaps)) < random.choice((0.0, 0.3, 0.7, 1.0))]
    state[picked] = random.integers(0, 3, len(picked))
    return state


def step(seed):
    """A random step; two of three with more chains, some of them of values that take more than a chain may."""
    graph = replace(random_step(seed), device=CHEAP if seed % 2 else None)
    if seed % 3 == 0:
        return graph
    scale = 2**20 if seed % 3 == 1 else 1
    storages = tuple(replace(one, bytes=scale * (32 if one.bytes == 100 else one.bytes)) for one in graph.storages)
    return replace(graph, storages=storages, ops=tuple(replace(op, rows=op.rows and 4) for op in graph.ops))


@pytest.mark.parametrize("kinds", [("recompute",), ("recompute", "fuse"), ON_DEVICE])
def test_a_run_is_the_one_on_paper(kinds):
    """Random states of random steps, among them chains that run again, values inside them, and results in place."""
    random, met = np.random.default_rng(len(kinds)), Counter()
    for seed in range(150):
        problem = problem_of(step(seed), kinds)
        for _ in range(2):
            plain = compare(problem, random_state(problem, random))
            met["impossible"] += plain is None
            for item in plain.items if plain else ():
                met["chain", item.main] += len(item.ops) > 1
                met["inside"] += item.scratch > 0
                met["too much inside"] += item.scratch == SCRATCH_BYTES
            met["in place"] += len(plain.place) if plain else 0
    wanted = ["impossible"]
    wanted += [("chain", True), ("chain", False), "inside", "too much inside"] if "fuse" in kinds else []
    wanted += ["in place"] if "in_place" in kinds else []
    assert min(met[one] for one in wanted) > 10, met


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
    """All that both runs say of the state is the same. Returns the one on paper; None where it cannot be run."""
    trace = new_trace(problem)
    cost = evaluate(problem, state, trace, target=100)
    try:
        plain = Plain(problem, state)
    except LookupError:
        assert (cost.possible, cost.us, cost.excess) == (False, float("inf"), float("inf"))
        return None
    if len(plain.items) >= GROWTH * len(problem.order):  # it may be refused; see the test below
        return None
    assert cost == Cost(
        plain.peak,
        pytest.approx(plain.us),
        plain.hottest,
        sum(max(0, held - 100) for held in plain.curve),
        max(0, plain.peak - 100),
    )
    assert evaluate(problem, state, trace).over == sum(plain.curve)
    items, instances = trace.found.tolist()
    assert [item.us for item in plain.items] == pytest.approx(trace.item_us[:items].tolist())
    for at, values, key in ((trace.ops_at, trace.ops, "ops"), (trace.reads_at, trace.reads, "reads"),
                            (trace.makes_at, trace.makes, "makes")):  # fmt: skip
        lists = [getattr(item, key) for item in plain.items]
        assert at[: items + 1].tolist() == [0, *accumulate(map(len, lists))]
        assert values[: at[items]].tolist() == [one for entries in lists for one in entries]
    for values, key in ((trace.item_instruction, "instruction"), (trace.item_main, "main"), (trace.scratch, "scratch")):
        assert values[:items].tolist() == [getattr(item, key) for item in plain.items]
    assert trace.curve[:items].tolist() == plain.curve
    lives = zip(trace.instance_storage, trace.birth, trace.last, strict=True)
    assert [[int(each) for each in life] for life in lives][:instances] == plain.lives
    assert trace.made_by[:instances].tolist() == plain.made_by
    assert trace.place_of[:instances].tolist() == [plain.place.get(one, -1) for one in range(instances)]
    return plain


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
    assert len(Plain(problem, state).items) == runs
    cost = evaluate(problem, state, new_trace(problem))
    assert cost.possible == (runs < GROWTH * 2 * length + 16)
    if cost.possible:
        assert cost.us == runs


def test_how_far_a_state_is_from_the_target():
    assert Cost(100, 1.0, 0).excess == 0
    assert Cost(100, 1.0, 0, over=5.0, highest=7.0).excess == 26
    assert (Cost(2**62 - 1, 1.0, 0).possible, Cost(2**62, 1.0, 0).possible) == (True, False)
