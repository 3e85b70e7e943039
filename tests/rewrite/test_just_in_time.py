"""A state run on paper: what a chain holds while its ops run a few rows at a time."""

import pytest

from roam_lab.rewrite.evaluate import evaluate
from roam_lab.rewrite.kinds import ON_DEVICE
from roam_lab.rewrite.tape import problem_of
from roam_lab.rewrite.trace import new_trace
from tests.rewrite.graphs import Writer


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


@pytest.mark.parametrize("name", ["item_us", "ops", "reads", "makes"])
def test_a_state_that_outgrows_its_trace_is_not_possible(name):
    problem = problem_of(chain(2), frozenset(ON_DEVICE))
    trace = new_trace(problem)
    room = getattr(trace, name)
    assert evaluate(problem, problem.start, trace).possible
    assert not evaluate(problem, problem.start, trace._replace(**{name: room[:0]})).possible
