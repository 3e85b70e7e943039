"""Every order in the registry, and the bound, against brute force."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.ir import Graph, Op, Storage, captured_order, check_order, live_peak
from roam_lab.order.bound import lower_bound
from roam_lab.order.outcome import run
from roam_lab.registry import Strategy, strategies
from tests.plan.graphs import SMALL, best_peak, pumpkin, random_graph, two_halves
from tests.plan.training_step import training_step

ORDERS = strategies("order")
NAMES = [strategy.name for strategy in ORDERS]
SEEDS = st.integers(0, 10**6)


def defaults(strategy: Strategy) -> dict[str, object]:
    return strategy.accept({})


@pytest.mark.parametrize("strategy", ORDERS, ids=NAMES)
@pytest.mark.parametrize("name", SMALL)
def test_every_order_is_legal_and_repeatable(strategy: Strategy, name: str) -> None:
    graph = SMALL[name]
    order = run(strategy, graph, defaults(strategy)).order
    check_order(graph, order)
    assert run(strategy, graph, defaults(strategy)).order == order
    assert live_peak(graph, order).bytes >= lower_bound(graph).bytes


@pytest.mark.parametrize("strategy", ORDERS, ids=NAMES)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_no_order_beats_brute_force(strategy: Strategy, seed: int) -> None:
    graph = random_graph(seed)
    order = run(strategy, graph, defaults(strategy)).order
    check_order(graph, order)
    assert live_peak(graph, order).bytes >= best_peak(graph)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_the_bound_is_never_above_the_optimum(seed: int) -> None:
    graph = random_graph(seed)
    best = best_peak(graph)
    assert lower_bound(graph).bytes <= best
    named = {entry.name: entry for entry in ORDERS}["auto"]
    order = run(named, graph, defaults(named)).order
    assert lower_bound(graph, order).bytes <= best


@pytest.mark.parametrize("name", ["list", "auto"])
def test_known_optima(name: str) -> None:
    strategy = {entry.name: entry for entry in ORDERS}[name]
    for graph, peak in ((pumpkin(5), 124), (two_halves(), 140)):
        assert best_peak(graph) == peak if len(graph.ops) < 9 else True
        order = run(strategy, graph, defaults(strategy)).order
        assert live_peak(graph, order).bytes == peak


def test_a_training_step_is_proven_optimal() -> None:
    graph = training_step(6)
    auto = {entry.name: entry for entry in ORDERS}["auto"]
    order = run(auto, graph, defaults(auto)).order
    peak = live_peak(graph, order).bytes
    assert peak < 0.6 * live_peak(graph, captured_order(graph)).bytes
    assert lower_bound(graph, order).bytes == peak


@pytest.mark.parametrize("name", ["exact", "model_ilp"])
def test_searches_of_odd_graphs(name: str) -> None:
    """No op; storages without bytes and without a reader; ops that create nothing."""
    strategy = {entry.name: entry for entry in ORDERS}[name]
    unused = Graph("unused", (Storage(8), Storage(0), Storage(5, region="op")), (Op("a", "t", (), (1, 2)),))
    bare = Graph("bare", (), (Op("a", "t"), Op("b", "t", (0,))))
    found = [run(strategy, graph, defaults(strategy)) for graph in (Graph("empty", (), ()), unused, bare)]
    assert [one.order for one in found] == [(), (0,), (0, 1)]
    assert found[1].lower_bound_bytes == 5
