"""Bounds of rewriting: no state of a small step is below them, and they are not far below."""

from dataclasses import replace

import pytest

from roam_lab.ir import Graph, Op, Storage, captured_order, live_peak
from roam_lab.rewrite import proof
from roam_lab.rewrite.bound import RewriteBound, least_bytes
from roam_lab.rewrite.evaluate import Cost
from roam_lab.rewrite.frontier import at_most
from roam_lab.rewrite.kinds import KINDS
from roam_lab.rewrite.points import Goals
from roam_lab.rewrite.proof import rewrite_bound
from roam_lab.rewrite.save_set import SaveSet
from roam_lab.rewrite.sweep import _gain
from tests.rewrite.graphs import Writer, blocks, ladder
from tests.rewrite.test_no_worse import CHEAP
from tests.rewrite.test_strategies import every_state


@pytest.mark.parametrize("device", [None, CHEAP])
def test_no_state_is_below_its_bounds(device):
    tried = proven = 0
    for graph in (replace(ladder(seed, 2 + seed % 2), device=device) for seed in range(14)):
        explorer = every_state(graph)
        if explorer is None or not explorer.problem.base_us:
            continue
        front, base = explorer.front, explorer.problem.base_us
        for us, peak in zip(front.us, front.peaks, strict=True):
            bound = rewrite_bound(graph, Goals(), peak, us / base - 1)
            tried += 1
            assert bound.peak_bytes <= peak
            assert bound.extra_time <= max(us / base - 1, 0) + 1e-9
            proven += bound.extra_time > 0
    assert tried > 10
    assert device is not None or proven > 2


def test_an_op_that_can_wait_until_after_the_peak_costs_no_time():
    write = Writer()
    waiting, large, last = write.storage(100), write.storage(300), write.storage(10)
    write.op((waiting,), time_us=5.0)
    write.op((large,))
    write.op((last,), (large,))
    write.op((), (waiting, last), (last,))
    graph = write.graph()
    assert live_peak(graph, captured_order(graph)).bytes == 410
    assert at_most(graph, 0.0, effort=100).peak_bytes == 310
    assert rewrite_bound(graph, Goals(), 310, 0.5).extra_time == 0.0


def test_the_bounds_of_blocks_are_close():
    graph = blocks(3)
    known = {0.0: 900, 0.025381: 600, 0.137056: 500}  # extra time -> least live peak, see tests/data/rewritings.json
    for extra, peak in known.items():
        bound = rewrite_bound(graph, Goals(), peak, extra)
        assert peak - 2 <= bound.peak_bytes <= peak
    slower = rewrite_bound(graph, Goals(), 600, 0.3)  # 0.025 would do
    assert 0.01 < slower.extra_time <= 0.025381
    assert rewrite_bound(graph, Goals(), 900, 0.0).extra_time == 0.0


def test_a_bound_never_exceeds_what_it_is_about_and_offload_leaves_the_least_alone():
    graph = blocks(3)
    assert rewrite_bound(graph, Goals(), 100, 0.0).peak_bytes <= 100
    with_link = rewrite_bound(graph, Goals(kinds=frozenset(KINDS)), 900, 0.1)
    assert (with_link.peak_bytes, with_link.extra_time) == (least_bytes(graph, frozenset(KINDS)), 0.0)


def test_the_least_is_what_one_op_needs():
    storages = (Storage(100), Storage(60), Storage(60), Storage(1000, region="resident"), Storage(7))
    ops = (
        Op("make", "t", creates=(0,), pure=True),
        Op("use", "t", creates=(1,), reads=(0, 3), pure=True, after=(0,)),
        Op("same", "t", creates=(2,), reads=(1,), pure=True, after=(1,), reuse=((2, 1),)),
        Op("rows", "t", creates=(4,), reads=(0, 1, 2), pure=True, after=(2,), rows=4),
    )
    graph = Graph("least", storages, ops)
    assert least_bytes(graph) == 160  # the last could be part of a chain
    assert least_bytes(graph, frozenset({"in_place"})) == 227
    assert least_bytes(Graph("two", storages, ops[:1]), frozenset()) == 100
    second = Op("same", "t", creates=(1,), reads=(0,), pure=True, after=(0,), reuse=((1, 0),))
    alone = Graph("alone", (Storage(60), Storage(60)), (ops[0], second))
    assert least_bytes(alone, frozenset({"in_place"})) == 60
    assert least_bytes(alone, frozenset()) == 120


def test_where_no_set_is_found_only_what_one_op_needs_is_proven(monkeypatch):
    graph = blocks(6)
    least, peak = least_bytes(graph, Goals().kinds), live_peak(graph, captured_order(graph)).bytes
    assert least < rewrite_bound(graph, Goals(), peak, 0.0).peak_bytes <= peak
    monkeypatch.setattr(proof, "smallest_set", lambda *given: None)
    monkeypatch.setattr(proof, "fastest_set", lambda *given, relaxed: None)
    found = rewrite_bound(graph, Goals(), peak, 0.0)
    assert (found.peak_bytes, found.extra_time) == (least, 0.0)
    assert rewrite_bound(graph, Goals(), least - 1, 0.5).peak_bytes == least - 1


def test_what_removes_nothing_gains_less_than_nothing():
    cost = Cost(100, 10.0, 0, over=50.0)
    assert _gain(cost, cost) == -1.0
    assert _gain(cost, replace(cost, over=60.0)) == -1.0
    assert _gain(cost, replace(cost, over=30.0, us=15.0)) == (cost.excess - replace(cost, over=30.0).excess) / 5.0
    assert _gain(cost, replace(cost, over=30.0)) == (cost.excess - replace(cost, over=30.0).excess) / 1e-3


def test_without_an_exact_instant_or_times_only_the_least_is_proven(monkeypatch):
    graph = blocks(3)
    least = least_bytes(graph, Goals().kinds)
    assert rewrite_bound(graph, Goals(), 900, 0.0).peak_bytes > least
    assert rewrite_bound(graph, Goals(), 600, 0.3).extra_time > 0
    timeless = replace(graph, ops=tuple(replace(op, time_us=0.0) for op in graph.ops))
    assert rewrite_bound(timeless, Goals(), 600, 0.3) == RewriteBound(least, 0.0)
    first = proof.first_instant
    monkeypatch.setattr(proof, "first_instant", lambda *given: replace(first(*given), exact=False))
    assert rewrite_bound(graph, Goals(), 900, 0.0) == RewriteBound(least, 0.0)
    assert rewrite_bound(graph, Goals(), 600, 0.3) == RewriteBound(least, 0.0)


def test_a_bound_is_what_the_program_of_the_first_instant_proves(monkeypatch):
    """In bytes less the slack, in time with that of the ops; and never past the rewriting that it is about."""
    graph, asked = blocks(3), []
    base = sum(op.time_us for op in graph.ops)
    least = least_bytes(graph, Goals().kinds)
    monkeypatch.setattr(proof, "least_us", lambda problem: base - 20.0)

    def told(peak, extra, small=500.7, slack=20, fast=30.0):
        asked.clear()
        monkeypatch.setattr(
            proof,
            "smallest_set",
            lambda problem, instants, *rest: asked.append(rest) or SaveSet({}, 0, 0, small, slack),
        )
        monkeypatch.setattr(
            proof,
            "fastest_set",
            lambda problem, instants, *rest, relaxed: asked.append((*rest, relaxed)) or SaveSet({}, 0, 0, fast, 0),
        )
        found = rewrite_bound(graph, Goals(), peak, extra)
        return found.peak_bytes, found.extra_time

    assert told(600, 0.5) == (480, round(10 / base, 9))
    assert asked == [(pytest.approx(0.5 * base + 20), 900), (600, True)]
    assert told(1000, 0.0) == (480, 0.0)
    assert asked == [(pytest.approx(20, abs=1e-6), 1000), (1000, True)]
    assert told(450, 0.5)[0] == 450
    assert told(600, 0.01)[1] == 0.01
    assert told(600, -0.5, fast=5.0) == (480, 0.0)
    assert asked[0][0] == 0.0  # there is no time
    assert told(600, 0.5, small=100.0)[0] == least
    assert told(600, 0.5, fast=15.0)[1] == 0.0
