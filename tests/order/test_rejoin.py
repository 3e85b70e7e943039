"""Parts of multi-tensor calls come together, and no peak gets higher for it."""

import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roam_lab.ir import Graph, Op, Storage, live_peak
from roam_lab.ir.check import check_order
from roam_lab.order.rejoin import calls_of, rejoin
from tests.plan.graphs import random_graph


def random_order(graph, rng):
    left, done, order = set(range(len(graph.ops))), set(), []
    while left:
        ready = sorted(index for index in left if done.issuperset(graph.ops[index].after))
        order.append(rng.choice(ready))
        left.remove(order[-1])
        done.add(order[-1])
    return tuple(order)


@given(st.integers(0, 10_000), st.booleans())
def test_legal_and_no_higher(seed, external):
    rng = random.Random(seed)
    graph = random_graph(seed, most_ops=9, external=external)
    graph = replace(graph, ops=tuple(replace(op, call=rng.choice([None, 0, 1])) for op in graph.ops))
    order = random_order(graph, rng)
    found = rejoin(graph, order)
    check_order(graph, found)
    assert live_peak(graph, found).bytes <= live_peak(graph, order).bytes
    assert calls_of(graph, found) <= calls_of(graph, order)


def peak_of(graph, order, storages):
    """Of these storages alone."""
    kept = [replace(one, bytes=one.bytes * (index in storages)) for index, one in enumerate(graph.storages)]
    return live_peak(replace(graph, storages=tuple(kept)), order).bytes


@given(st.integers(0, 10_000))
def test_no_region_gets_higher(seed):
    rng = random.Random(seed)
    graph = random_graph(seed, most_ops=9)
    graph = replace(graph, ops=tuple(replace(op, call=rng.choice([None, 0, 1])) for op in graph.ops))
    order = random_order(graph, rng)
    beside = {index for index in range(len(graph.storages)) if rng.random() < 0.5}
    inside = set(range(len(graph.storages))) - beside
    found = rejoin(graph, order, beside)
    assert live_peak(graph, found).bytes <= live_peak(graph, order).bytes
    assert peak_of(graph, found, beside) <= peak_of(graph, order, beside)
    assert peak_of(graph, found, inside) <= peak_of(graph, order, inside)


def test_room_beside_the_arena_is_none_in_it():
    """Gradients could all be alive at once, were it not for what lies beside the arena while the first op runs."""
    graph, order = updates(5, before=20)
    assert calls_of(graph, rejoin(graph, order)) == 7
    assert calls_of(graph, rejoin(graph, order, {5})) == 11


def updates(count, gradient=4, before=None):
    """`count` gradients of so many bytes, each made by an op and used by a part of one call. `before`: bytes alive
    while the first op runs."""
    storages = [Storage(gradient) for _ in range(count)] + [Storage(before or 0)]
    first = Op("first", "first", creates=(count,))
    makers = [Op(f"grad{index}", "mm", after=(0,), creates=(index,)) for index in range(count)]
    parts = [Op(f"part{index}", "add_", after=(1 + index,), reads=(index,), call=7) for index in range(count)]
    graph = Graph("updates", tuple(storages), (first, *makers, *parts))
    order = [0]
    for index in range(count):
        order += [1 + index, 1 + count + index]
    return graph, tuple(order)


def test_all_parts_are_one_where_there_is_room():
    graph, order = updates(5, before=100)
    assert calls_of(graph, order) == 11
    found = rejoin(graph, order)
    assert found == tuple(range(11))
    assert calls_of(graph, found) == 7


@pytest.mark.parametrize(("room", "calls"), [(4, 11), (8, 9), (12, 8), (20, 7)])
def test_as_many_as_there_is_room_for(room, calls):
    graph, order = updates(5, before=room)
    found = rejoin(graph, order)
    assert live_peak(graph, found).bytes == room
    assert calls_of(graph, found) == calls


def test_a_graph_without_calls_keeps_its_order():
    graph, order = updates(3)
    graph = replace(graph, ops=tuple(replace(op, call=None) for op in graph.ops))
    assert rejoin(graph, order) is order


def test_what_frees_only_what_it_made_runs_last():
    """Of each parameter a gradient, and a temporary of a chain of two calls: no chain has to run before the end."""
    each = range(4)
    storages = [*(Storage(1) for _ in each), *(Storage(4) for _ in each), Storage(8)]
    ops = [Op("first", "first", creates=(8,))]
    ops += [Op(f"grad{index}", "mm", after=(0,), creates=(index,)) for index in each]
    ops += [Op(f"lerp{index}", "lerp_", after=(1 + index,), reads=(index,), call=1) for index in each]
    ops += [Op(f"sqrt{index}", "sqrt", after=(5 + index,), creates=(4 + index,), call=2) for index in each]
    ops += [Op(f"update{index}", "addcdiv_", after=(9 + index,), reads=(4 + index,), call=3) for index in each]
    graph = Graph("chains", tuple(storages), tuple(ops))
    order = (0, *(1 + part * 4 + index for index in each for part in range(4)))
    check_order(graph, order)
    found = rejoin(graph, order)
    assert live_peak(graph, found).bytes == live_peak(graph, order).bytes == 8
    calls = [graph.ops[index].call for index in found if graph.ops[index].call is not None]
    # all gradients at once, and the chains by two, as many as there is room for
    assert [call for call, _ in itertools.groupby(calls)] == [1, 2, 3, 2, 3]
