"""Which ops can be fused, and which of a running order are: chains, and the small ops that go before them."""

import pytest

from roam_lab.ir import check_order
from roam_lab.rewrite.base_order import base_order
from roam_lab.rewrite.chains import SMALL_BYTES, chain_classes, elements, instructions
from tests.rewrite.graphs import Writer, random_step


def in_groups(graph):
    return instructions(graph, range(len(graph.ops)), chain_classes(graph))


def test_elements_are_counted_by_shape_or_else_in_bytes():
    write = Writer()
    shaped, plain = write.storage(48, shape=(3, 4), dtype="float32"), write.storage(48)
    graph = write.graph()
    assert (elements(graph, shaped), elements(graph, plain)) == (12, 48)


def test_what_can_be_fused_is_by_rows_pure_and_changes_nothing_smaller():
    write = Writer()
    a, b, small, twice, half = (write.storage(size) for size in (64, 64, 8, 64, 32))
    write.op((a,), rows=4)
    write.op((b,), (a,), rows=8)
    write.op((small,), (b,))  # by no rows
    write.op((), (a, small), (a,), rows=4)  # in place
    write.op((), (a,), (small,), rows=4, pure=False)
    write.op((twice, half), (a,), rows=4)  # of two results the larger one counts
    write.op((), (b,), (small, b), rows=4)  # writes two, one of them smaller
    write.op((), (b,), rows=4)  # leaves nothing
    write.op((write.storage(64),), rows=4, random=True)
    write.op((write.storage(64),), (a,), rows=4, pure=False)
    found = chain_classes(write.graph())
    assert found == [(4, 64), (8, 64), None, (4, 64), (4, 8), (4, 64), None, None, None, None]


def test_neighbours_of_one_class_that_share_a_storage_run_as_one():
    write = Writer()
    a, b, c, apart, other = (write.storage(64) for _ in range(5))
    write.op((a,))
    write.op((b,), (a,), rows=4)
    write.op((c,), (b,), rows=4)
    write.op((apart,), rows=4)  # of the same class, but it shares nothing with the chain: goes before it
    write.op((other,), (c,), rows=8)
    assert in_groups(write.graph()) == [[0], [3], [1, 2], [4]]


def test_an_op_inside_a_chain_goes_before_it_only_if_it_is_small_and_independent():
    def groups(size, after_chain=False, shares=False):
        write = Writer()
        a, b, c = (write.storage(64) for _ in range(3))
        between = write.storage(size)
        write.op((a,), rows=4)
        write.op((between,), (a,) if shares else (), (a,) if after_chain else ())
        write.op((b,), (a,), rows=4)
        write.op((c,), (b, between), rows=4)
        return in_groups(write.graph())

    assert groups(SMALL_BYTES) == [[1], [0, 2, 3]]
    assert groups(SMALL_BYTES + 1) == [[0], [1], [2, 3]]
    assert groups(8, shares=True) == [[0], [1], [2, 3]]
    assert groups(8, after_chain=True) == [[0], [1], [2, 3]]


def test_an_op_that_must_follow_the_chain_for_another_reason_does_not_go_before_it():
    write = Writer()
    a, b, drawn = write.storage(64), write.storage(64), write.storage(8)
    write.op((a,), rows=4)
    write.op((drawn,))
    write.op((b,), (a,), rows=4)
    graph = write.graph()
    assert in_groups(graph) == [[1], [0, 2]]
    ops = list(graph.ops)
    ops[1] = type(ops[1])("later", "t", after=(0,), creates=(drawn,), pure=True, time_us=1.0)
    assert in_groups(type(graph)("after", graph.storages, tuple(ops))) == [[0], [1], [2]]


def test_an_op_that_touches_residents_alone_joins_any_chain_of_its_class():
    write = Writer()
    a, b = write.storage(64), write.storage(64)
    first, second = write.storage(64, region="resident"), write.storage(64, region="resident")
    write.op((a,), rows=4)
    write.op((), (first,), (second,), rows=4)
    write.op((b,), (a,), rows=4)
    assert in_groups(write.graph()) == [[0, 1, 2]]


@pytest.mark.parametrize("seed", range(30))
def test_the_groups_are_a_legal_order_and_chains_are_of_one_class(seed):
    graph = random_step(seed)
    classes = chain_classes(graph)
    groups = instructions(graph, base_order(graph), classes)
    check_order(graph, [op for group in groups for op in group])
    for group in groups:
        assert len(group) == 1 or len({classes[op] for op in group} - {None}) == 1
