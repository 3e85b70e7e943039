"""Precedence, series-parallel parts, folding and contraction: nothing is lost, and what should join does."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.ir import Graph, Op, Storage, check_order, live_peak
from roam_lab.order.dominance import precedence
from roam_lab.order.dominance.block import block_of
from roam_lab.order.dominance.contract import Contraction
from roam_lab.order.dominance.fold import folded, with_eager
from roam_lab.order.dominance.precedence import OutOfTimeError, reduced
from roam_lab.order.dominance.profile import ops_of
from roam_lab.order.dominance.search import Effort
from roam_lab.order.dominance.series_parallel import Quotient
from roam_lab.order.dominance.solve import contracted
from roam_lab.order.problem import problem_of
from tests.order.dominance.graphs import least_peak, pumpkin, series_parallel
from tests.order.dominance.test_search import orders
from tests.plan.graphs import random_graph

SEEDS = st.integers(0, 10**6)


@pytest.mark.parametrize("chunk", [3, 16384])
def test_precedence_is_what_reachability_says(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precedence, "CHUNK", chunk)
    for seed in range(100):
        draw = random.Random(seed)
        count = draw.randint(1, 12)
        before = [[other for other in range(op) if draw.random() < 0.3] for op in range(count)]
        groups = [draw.sample(range(count), draw.randint(0, count)) for _ in range(4)]
        above: list[set[int]] = []
        for op in range(count):
            above.append(set(before[op]).union(*(above[other] for other in before[op])))
        after, last = reduced(before, groups)
        for op in range(count):
            assert after[op] == [b for b in before[op] if not any(b in above[other] for other in before[op])]
        for group, found in zip(groups, last, strict=True):
            assert found == sorted(m for m in group if not any(m in above[other] for other in group))


def test_tracing_stops_at_the_deadline() -> None:
    with pytest.raises(OutOfTimeError):
        reduced([[], [0]], [], time.perf_counter())


def nodes_left(after: list[list[int]]) -> int:
    quotient = Quotient(after)
    quotient.reduce(lambda nodes: None, lambda nodes: None)
    return len(quotient.before)


def test_series_parallel_orders_reduce_to_one_part_and_others_do_not() -> None:
    for seed in range(200):
        graph = series_parallel(seed, 30)
        after, _ = reduced([op.after for op in graph.ops], [])
        assert nodes_left(after) == 1
    assert nodes_left([[], [], [0], [0, 1]]) == 4  # the N
    assert nodes_left([[], [0], [0], [1], [1, 2], [3, 4]]) == 6  # an N between two ends
    assert nodes_left([[], [], [0, 1], [0, 1]]) == 1  # everything above before everything below
    assert nodes_left([[], [0], [0], [0]]) == 1
    assert nodes_left([]) == 0


def test_reduction_tells_series_in_order_and_parallel_by_number() -> None:
    told: list[tuple[str, list[int]]] = []
    quotient = Quotient([[], [0], [1], [0], [2, 3], [4]])
    quotient.reduce(lambda nodes: told.append(("series", nodes)), lambda nodes: told.append(("parallel", nodes)))
    assert told == [("series", [1, 2]), ("series", [4, 5]), ("parallel", [1, 3]), ("series", [0, 1, 4])]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_folding_loses_nothing(seed: int) -> None:
    graph = random_graph(seed, 8)
    problem = problem_of(graph)
    block, eager = folded(block_of(problem))
    peaks = []
    for run in orders(block):
        order = with_eager(problem, ops_of(block.jobs[job] for job in run), eager)
        check_order(graph, order)
        assert live_peak(graph, order).bytes <= block.problem().peak(run)
        peaks.append(block.problem().peak(run))
    assert min(peaks) == least_peak(graph)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_contraction_loses_nothing(seed: int) -> None:
    graph = random_graph(seed, 8)
    contraction = Contraction(block_of(problem_of(graph)), Effort(10**6))
    block = contraction.run()
    peaks = []
    for run in orders(block):
        order = ops_of(block.jobs[job] for job in run)
        check_order(graph, order)
        peaks.append(block.problem().peak(run))
        assert live_peak(graph, order).bytes == peaks[-1]
    assert min(peaks) == least_peak(graph)
    assert not contraction.exact or len(peaks) == 1


def test_ops_without_bytes_of_their_own_run_as_soon_as_they_can() -> None:
    storages = (Storage(10), Storage(20), Storage(5))
    ops = (
        Op("a", "t", (), (0,)),
        Op("b", "t", (), (1,)),
        Op("view", "t", (0,), (), (0,)),
        Op("both", "t", (1, 2), (), (0, 1)),
        Op("last", "t", (0, 1), (2,), ()),
    )
    problem = problem_of(Graph("eager", storages, ops))
    block, eager = folded(block_of(problem))
    assert eager == {2, 3}
    assert with_eager(problem, [0, 1, 4], eager) == [0, 2, 1, 3, 4]
    assert sum(block.shared_bytes.values()) == 30  # freed by whichever of a and b runs last


def test_a_job_that_raises_the_memory_does_not_follow_at_once() -> None:
    """Two spikes, each with a small result made after it: both spikes come first."""
    storages = (Storage(100), Storage(5), Storage(100), Storage(5))
    ops = (
        Op("spike", "t", (), (0,)),
        Op("result", "t", (0,), (1,)),
        Op("other_spike", "t", (), (2,)),
        Op("other_result", "t", (2,), (3,)),
        Op("end", "t", (1, 3), (), (1, 3)),
    )
    graph = Graph("spikes", storages, ops)
    block, _ = folded(block_of(problem_of(graph)))
    assert min(map(block.problem().peak, orders(block))) == least_peak(graph) == 100


def test_without_effort_parts_that_share_are_left_as_they_are() -> None:
    graph = pumpkin(3, 6, 60)
    idle, busy = Effort(0), Effort(10**6)
    left = contracted(problem_of(graph), idle)
    assert not left.exact
    assert len(left.block) > 6
    assert contracted(problem_of(graph), busy).exact
    assert 0 < busy.steps < 10**6


def test_a_wide_fan_through_one_op_stays_small() -> None:
    """A thousand ops before, a thousand behind: no dependence for every pair."""
    wide = 1000
    ops = [Op(f"a{n}", "t", (), (n,)) for n in range(wide)]
    ops.append(Op("waist", "t", tuple(range(wide))))
    ops += [Op(f"b{n}", "t", (wide,), (), (n,)) for n in range(wide)]
    problem = problem_of(Graph("fan", tuple(Storage(n + 1) for n in range(wide)), tuple(ops)))
    block, _ = folded(block_of(problem))
    assert sum(map(len, block.before)) <= 2 * wide
    assert contracted(problem, Effort(10**6)).exact
