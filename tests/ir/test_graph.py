"""What a graph and its peak say of its ops and storages, by looking through them one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.ir import Graph, Op, Storage, captured_order, lifetimes, live_curve, live_peak
from roam_lab.ir.graph import REGIONS
from tests.rewrite.graphs import random_step


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_who_makes_uses_and_follows_what(seed: int) -> None:
    graph = random_step(seed)
    ops = range(len(graph.ops))
    for index, op in enumerate(graph.ops):
        assert graph.followers[index] == tuple(other for other in ops if index in graph.ops[other].after)
        named = sorted({*op.creates, *op.reads, *op.writes})
        assert graph.uses[index] == tuple(one for one in named if graph.storages[one].region in ("arena", "op"))
        assert op.touches == tuple(one for one in named if one not in op.creates)
    for index, storage in enumerate(graph.storages):
        there = storage.region in ("resident", "host")
        assert (storage.always_there, storage.external) == (there, storage.region == "op")
        makers = [op for op in ops if index in graph.ops[op].creates]
        assert graph.creator[index] == (makers[0] if makers and not there else None)
        assert graph.users[index] == tuple(op for op in ops if index in graph.uses[op])
        assert bool(graph.users[index]) is not there


@settings(max_examples=50, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_the_peak_is_the_first_highest_step(seed: int) -> None:
    graph = random_step(seed)
    order = captured_order(graph)
    lives = lifetimes(graph, order)
    curve = [sum(one.bytes for one in lives if one.start <= step < one.end) for step in order]
    assert live_curve(graph, order).tolist() == curve
    peak = live_peak(graph, order)
    assert (peak.bytes, peak.step) == (max(curve), curve.index(max(curve)))


def test_what_is_there_without_ops() -> None:
    empty = Graph("empty", (), ())
    assert (live_peak(empty, ()).bytes, live_peak(empty, ()).step) == (0, 0)
    assert live_curve(empty, ()).tolist() == []
    assert (empty.resident_bytes, empty.can_be_rewritten, repr(empty)) == (0, True, "Graph('empty', 0 ops, 0 storages)")


def test_residents_are_those_listed_and_those_that_are_not() -> None:
    storages = tuple(Storage(2**place, region=region) for place, region in enumerate(REGIONS))
    made = tuple(place for place, region in enumerate(REGIONS) if region in ("arena", "op"))
    graph = Graph("all", storages, (Op("make", "t", creates=made, pure=True),), unlisted_resident_bytes=100)
    assert graph.resident_bytes == 100 + 2 ** REGIONS.index("resident")
    assert repr(graph) == "Graph('all', 1 ops, 2 storages)"
    assert graph.can_be_rewritten
    assert not replace(graph, ops=(replace(graph.ops[0], pure=None),)).can_be_rewritten


@pytest.mark.parametrize("field", ["environment", "eager_peak_bytes"])
def test_two_graphs_are_equal_that_were_captured_with_something_else(field: str) -> None:
    graph = random_step(1)
    value = {"environment": {"torch": "1"}, "eager_peak_bytes": 5}[field]
    assert replace(graph, **{field: value}) == graph  # type: ignore[arg-type]
    assert replace(graph, name="other") != graph
