"""A state run on paper: what a chain holds while its ops run a few rows at a time."""

import pytest

from roam_lab.rewrite.evaluate import evaluate
from roam_lab.rewrite.kinds import ON_DEVICE
from roam_lab.rewrite.tape import DROP, problem_of
from roam_lab.rewrite.trace import GROWTH, new_trace
from tests.rewrite.graphs import Writer
from tests.rewrite.plain import Plain


def chain(length, last_reads=()):
    """An op, then a chain of row-wise ops, each of which reads the one before; the last also reads `last_reads`."""
    write = Writer()
    made = [write.storage(64) for _ in range(length)]
    start, end = write.storage(64), write.storage(64, output=True)
    write.op((start,))
    for before, storage in zip([start, *made[:-1]], made, strict=True):
        write.op((storage,), (before,), rows=4)
    write.op((end,), (made[-1], *(made[one] for one in last_reads)), rows=4)
    return write.graph()


@pytest.mark.parametrize(
    ("graph", "scratch"),
    [
        (chain(1), 64),
        (chain(4), 2 * 64),  # what an op reads and what it makes
        (chain(4, last_reads=(0,)), 3 * 64),  # and the first result, up to the last op
        (chain(4, last_reads=(0, 1)), 4 * 64),
    ],
)
def test_values_inside_a_chain_are_held_from_their_op_to_their_last_reader(graph, scratch):
    problem = problem_of(graph, frozenset(ON_DEVICE))
    trace = new_trace(problem)
    assert evaluate(problem, problem.start, trace).possible
    items = int(trace.found[0])
    assert items == 2  # the first op, and the chain
    assert trace.scratch[:items].tolist() == [0, scratch]


@pytest.mark.parametrize("kinds", [("recompute",), ("recompute", "fuse")])
def test_a_run_may_fill_its_trace_and_not_outgrow_it(kinds):
    """Each backward op finds nothing but the second result, and runs the ops behind that again: one inside the other,
    or as a chain."""
    write = Writer()
    made = [write.storage(64) for _ in range(7)]
    for before, storage in zip([None, *made], made, strict=False):
        write.op((storage,), () if before is None else (before,), rows=4)
    for storage in reversed(made[2:]):
        write.op((write.storage(8),), (storage, made[1]))
    problem = problem_of(write.graph(), kinds)
    state = problem.start.copy()
    state[problem.free_gaps] = DROP
    trace, plain = new_trace(problem), Plain(problem, state)
    cost = evaluate(problem, state, trace)
    assert cost.us == plain.us
    assert plain.deepest == (2 if "fuse" in kinds else 6)
    room = {"item_us": len(plain.items) + 1, "first_op": plain.deepest}
    room |= {"op_stack": plain.most_ops, "read_stack": plain.most_reads}
    room |= {key: sum(len(getattr(item, key)) for item in plain.items) for key in ("ops", "reads", "makes")}
    for name, most in room.items():
        array = getattr(trace, name)
        assert evaluate(problem, state, trace._replace(**{name: array[:most]})) == cost, name
        assert not evaluate(problem, state, trace._replace(**{name: array[: most - 1]})).possible, name


def test_a_trace_has_room_for_growth_times_the_ops_and_what_they_use():
    write = Writer()
    a, b = write.storage(8), write.storage(8)
    write.op((a,))
    write.op((b,), (a,))
    write.op((), (a, b))
    trace = new_trace(problem_of(write.graph()))
    ops, uses = GROWTH * 3 + 16, GROWTH * (2 + 3) + 16
    by_item = ("item_instruction", "item_main", "item_us", "scratch", "ops")
    by_instance = ("reads", "makes", "instance_storage", "birth", "last", "made_by", "place_of", "taken")
    assert {len(getattr(trace, name)) for name in by_item} == {ops}
    assert {len(getattr(trace, name)) for name in ("ops_at", "reads_at", "makes_at", "curve")} == {ops + 1}
    assert {len(getattr(trace, name)) for name in by_instance} == {uses}
    assert len(trace.found) == 2
    assert len(trace.first_op) == len(trace.end_op) == 3  # no op waits for itself
    assert (len(trace.op_stack), len(trace.read_stack)) == (4 * 3 + 64, 4 * 3 + 64)
