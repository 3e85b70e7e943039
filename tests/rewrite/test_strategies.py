"""Strategies of the room "rewrite", the best of all states on tiny graphs, and the frontier that is made of them."""

from itertools import pairwise, product

import numpy as np
import pytest

from roam_lab.errors import FormatError, InfeasibleError, ParameterError, UnknownStrategyError
from roam_lab.ir import Graph, Op, Storage, captured_order, live_peak, load_graph
from roam_lab.registry import strategies
from roam_lab.rewrite.bound import least_bytes
from roam_lab.rewrite.explorer import Explorer
from roam_lab.rewrite.frontier import at_most, found, frontier, within
from roam_lab.rewrite.points import Goals
from roam_lab.rewrite.tape import problem_of
from tests.captured import DATA
from tests.rewrite.graphs import blocks, judged, ladder, random_step

OURS = {"auto", "checkpoint", "free", "greedy", "ilp", "none"}
REWRITES = strategies("rewrite")
NAMES = [entry.name for entry in REWRITES]


def every_state(graph):
    """The front of all states of `graph`, or None if they are too many to try."""
    problem = problem_of(graph)
    if len(problem.free_gaps) > 8:
        return None
    explorer = Explorer(problem, 10_000)
    for values in product(range(3), repeat=len(problem.free_gaps)):
        state = problem.start.copy()
        state[problem.free_gaps] = values
        explorer.see(state)
    return explorer


def test_the_room_is_registered():
    assert set(NAMES) >= OURS


@pytest.mark.parametrize("name", NAMES)
def test_every_point_is_what_the_judge_finds(name):
    (entry,) = [entry for entry in REWRITES if entry.name == name]
    short = {"effort": 500} if "effort" in {parameter.name for parameter in entry.parameters} else {}
    for graph in (blocks(3), random_step(5), random_step(11)):
        known = found(graph, Goals((0.1, 0.3), (500,)), name, short)
        assert known.points
        assert [point.extra_time for point in known.points] == sorted(point.extra_time for point in known.points)
        assert [-point.peak_bytes for point in known.points] == sorted(-point.peak_bytes for point in known.points)
        base = sum(op.time_us for op in graph.ops)
        for point in known.points:
            peak, us = judged(graph, point.rewritten())
            assert peak == point.peak_bytes
            assert us / base - 1 == pytest.approx(point.extra_time, abs=1e-6)


def test_auto_finds_the_best_state_of_tiny_graphs():
    tried = gained = 0
    graphs = [
        *(random_step(seed, most_ops=8) for seed in range(16)),
        *(ladder(seed, 2 + seed % 2) for seed in range(14)),
    ]
    for graph in graphs:
        explorer = every_state(graph)
        if explorer is None or not len(explorer.problem.free_gaps):
            continue
        front, base = explorer.front, explorer.problem.base_us or 1.0
        known = found(graph, Goals(tuple(us / base - 1 for us in front.us)), parameters={"effort": 400})
        for us, peak in zip(front.us, front.peaks, strict=True):
            point = known.at_most(us / base - 1)
            tried += 1
            assert point.peak_bytes <= peak, graph.name
            gained += peak < front.peaks[0]
        for bound in known.bounds:
            at = front.at_most(base * (1 + bound.extra_time) + 1e-6)
            assert bound.peak_bytes <= front.peaks[at], graph.name
        assert least_bytes(graph) <= front.peaks[-1]
    assert tried > 15
    assert gained > 5


def test_recomputing_the_cheap_op_comes_first():
    graph = blocks(4)
    base = sum(op.time_us for op in graph.ops)
    point = at_most(graph, 4 * 2.0 / base)
    assert point.peak_bytes < at_most(graph, 0.0).peak_bytes
    new = point.rewritten()
    runs = np.bincount([index for origin in new.origins for index in origin.ops])
    assert {graph.ops[index].time_us for index in np.flatnonzero(runs > 1)} <= {1.0, 2.0}


def test_more_memory_is_never_slower_and_more_time_never_larger():
    graph = blocks(6)
    known = found(graph, Goals((0.05, 0.1, 0.2, 0.4)), parameters={"effort": 500})
    peaks = [known.at_most(extra / 100).peak_bytes for extra in range(60)]
    assert peaks == sorted(peaks, reverse=True)
    assert len(set(peaks)) > 3
    times = [known.within(peak).extra_time for peak in range(known.points[-1].peak_bytes, known.points[0].peak_bytes)]
    assert times == sorted(times, reverse=True)
    for peak in (known.points[-1].peak_bytes, known.points[0].peak_bytes):
        assert within(graph, peak).peak_bytes <= peak


def test_a_frontier_is_undominated_and_as_long_as_asked():
    for count in (1, 4, 12):
        points = frontier(blocks(6), count, effort=300)
        assert 0 < len(points) <= count
        assert all(a.extra_time < b.extra_time and a.peak_bytes > b.peak_bytes for a, b in pairwise(points))


def test_a_budget_too_small_says_the_least_that_is_known():
    graph = blocks(3)
    least = frontier(graph, effort=300)[-1].peak_bytes
    with pytest.raises(InfeasibleError, match=r"10 bytes are too few: the least known to do is \d+ bytes, at \d"):
        within(graph, 10)
    assert least_bytes(graph) <= least < live_peak(graph, captured_order(graph)).bytes


def test_free_costs_nothing_and_checkpoint_copies_whole_blocks():
    graph = blocks(4)
    free = found(graph, Goals(), "free").points
    assert [point.extra_time for point in free] == [0.0]
    assert free[0].rewritten().recomputed == 0
    checkpoint = found(graph, Goals(), "checkpoint").points[-1]
    assert checkpoint.strategy == "checkpoint"
    assert checkpoint.rewritten().recomputed >= 4


def test_kinds_that_are_not_allowed_are_not_used():
    graph = random_step(7)
    assert found(graph, Goals((1.0,), kinds=frozenset({"in_place"}))).points[-1].rewritten().recomputed == 0
    fused = [
        len(o.ops)
        for p in found(graph, Goals((1.0,), kinds=frozenset({"recompute"}))).points
        for o in p.rewritten().origins
    ]
    assert set(fused) == {1}
    with pytest.raises(ParameterError, match="no rewriting of kind 'offlaod'"):
        Goals(kinds=frozenset({"offlaod"}))


def test_unknown_strategies_and_version_1_are_refused():
    with pytest.raises(UnknownStrategyError, match="did you mean 'greedy'"):
        at_most(blocks(2), 0.1, strategy="gredy")
    with pytest.raises(FormatError, match="roam-graph/1 can only be ordered"):
        frontier(Graph("first", (Storage(8),), (Op("a", "t", creates=(0,)),)))


def test_a_shared_graph_gets_what_the_bound_allows():
    graph = load_graph(DATA / "graphs2" / "resnet50_batch32.json.gz")
    captured = live_peak(graph, captured_order(graph)).bytes
    known = found(graph, Goals((0.05,)))
    assert known.at_most(0.0).peak_bytes <= 0.987 * captured
    point = known.at_most(0.05)
    assert known.bounds[0].peak_bytes <= point.peak_bytes <= 0.575 * captured
    assert judged(graph, point.rewritten())[0] == point.peak_bytes
