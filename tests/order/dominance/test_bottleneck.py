"""Which part sets the peak: its shape, its ops, and what another order of it alone gives."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.ir import Graph, Op, Storage, captured_order, check_order, live_peak
from roam_lab.order.dominance.bottleneck import bottleneck
from roam_lab.order.dominant import dominant
from tests.order.dominance.graphs import series_parallel
from tests.plan.graphs import empty, pumpkin, random_graph


def with_tail(graph: Graph) -> Graph:
    """The graph, then two ops that run in the worse order, far below its peak."""
    count, first = len(graph.ops), len(graph.storages)
    storages = (*graph.storages, Storage(9), Storage(1), Storage(5))
    ops = (
        *graph.ops,
        Op("big", "t", (count - 1,), (first, first + 2)),
        Op("small", "t", (count - 1,), (first + 1,)),
        Op("end", "t", (count, count + 1), (), (first, first + 1)),
    )
    return Graph("tail", storages, ops)


def test_a_pumpkin_is_found_and_reordered_alone() -> None:
    graph = with_tail(pumpkin(4))
    found = bottleneck(graph, captured_order(graph))
    count = len(pumpkin(4).ops)
    assert found.shape == "pumpkin"
    assert set(found.ops) <= set(range(count))
    assert found.peak_bytes == live_peak(graph, captured_order(graph)).bytes == 408
    assert found.op == 4
    assert found.reordered_bytes == live_peak(graph, found.order).bytes == 120
    assert found.order[count:] == captured_order(graph)[count:]
    assert dominant(graph, only="bottleneck").order == found.order


def test_a_chain_has_nothing_to_reorder() -> None:
    storages = tuple(map(Storage, (3, 40, 2)))
    ops = (Op("a", "t", (), (0,)), Op("b", "t", (0,), (1,), (0,)), Op("c", "t", (1,), (2,), (1,)))
    found = bottleneck(Graph("chain", storages, ops), (0, 1, 2))
    assert (found.shape, found.ops, found.op) == ("chain", (1,), 1)
    assert (found.order, found.reordered_bytes) == ((0, 1, 2), 43)


def test_no_ops_no_bottleneck() -> None:
    found = bottleneck(empty(), ())
    assert (found.ops, found.order, found.peak_bytes) == ((), (), 0)


def test_nested_branches_are_series_parallel() -> None:
    shapes = set()
    for seed in range(60):
        graph = series_parallel(seed, 14)
        found = bottleneck(graph, captured_order(graph))
        shapes.add(found.shape)
        assert found.op in range(len(graph.ops))
    assert shapes == {"chain", "pumpkin", "series-parallel"}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_the_rest_keeps_its_order_and_the_peak_never_rises(seed: int) -> None:
    graph = random_graph(seed, 10)
    order = captured_order(graph)
    found = bottleneck(graph, order)
    check_order(graph, found.order)
    assert found.peak_bytes == live_peak(graph, order).bytes
    assert found.reordered_bytes == live_peak(graph, found.order).bytes <= found.peak_bytes
    assert live_peak(graph, dominant(graph).order).bytes <= found.reordered_bytes
    if found.shape != "other":
        part = set(found.ops)
        assert [op for op in found.order if op not in part] == [op for op in order if op not in part]
