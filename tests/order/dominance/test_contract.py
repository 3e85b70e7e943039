"""Series-parallel parts and contraction: nothing is lost, and what should join does."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.ir import Graph, Op, Storage, check_order, live_peak
from roam_lab.order.dominance.contract import Contraction
from roam_lab.order.dominance.series_parallel import Quotient
from roam_lab.order.dominance.solve import contracted
from roam_lab.order.effort import Effort
from roam_lab.order.problem import problem_of
from roam_lab.order.reduce.jobs import jobs_of, ops_of
from roam_lab.order.reduce.precedence import direct
from roam_lab.order.reduce.reduced import reduced
from tests.order.dominance.graphs import least_peak, pumpkin, series_parallel
from tests.order.dominance.test_search import orders
from tests.plan.graphs import random_graph

SEEDS = st.integers(0, 10**6)


def nodes_left(after: list[list[int]]) -> int:
    quotient = Quotient(after)
    quotient.reduce(lambda nodes: None, lambda nodes: None)
    return len(quotient.before)


def test_series_parallel_orders_reduce_to_one_part_and_others_do_not() -> None:
    for seed in range(200):
        graph = series_parallel(seed, 30)
        after, _ = direct([op.after for op in graph.ops], [], Effort(0))
        assert nodes_left(after) == 1
    assert nodes_left([[], [], [0], [0, 1]]) == 4  # the N
    assert nodes_left([[], [0], [0], [1], [1, 2], [3, 4]]) == 6  # an N between two ends
    assert nodes_left([[], [], [0, 1], [0, 1]]) == 1  # everything above before everything below
    assert nodes_left([[], [0], [0], [0]]) == 1
    assert nodes_left([]) == 0


def test_reduction_tells_series_in_order_and_parallel_by_number() -> None:
    heard: list[tuple[str, list[int]]] = []
    quotient = Quotient([[], [0], [1], [0], [2, 3], [4]])
    quotient.reduce(lambda nodes: heard.append(("series", nodes)), lambda nodes: heard.append(("parallel", nodes)))
    assert heard == [("series", [1, 2]), ("series", [4, 5]), ("parallel", [1, 3]), ("series", [0, 1, 4])]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_contraction_loses_nothing(seed: int) -> None:
    graph = random_graph(seed, 8)
    contraction = Contraction(jobs_of(problem_of(graph), Effort(0)), Effort(10**6))
    jobs = contraction.run()
    peaks = []
    for run in orders(jobs):
        order = ops_of(jobs[job] for job in run)
        check_order(graph, order)
        peaks.append(jobs.as_problem.peak(run))
        assert live_peak(graph, order).bytes == peaks[-1]
    assert min(peaks) == least_peak(graph)
    assert not contraction.exact or len(peaks) == 1


def test_without_effort_parts_that_share_are_left_as_they_are() -> None:
    graph = pumpkin(3, 6, 60)
    idle, busy = Effort(0), Effort(10**6)
    left = contracted(problem_of(graph), idle)
    assert not left.exact
    assert len(left.left.jobs) > 6
    assert contracted(problem_of(graph), busy).exact
    assert 0 < busy.work < 10**6


def test_a_wide_fan_through_one_op_stays_small() -> None:
    """A thousand ops before, a thousand behind: no dependence for every pair."""
    wide = 1000
    ops = [Op(f"a{n}", "t", (), (n,)) for n in range(wide)]
    ops.append(Op("waist", "t", tuple(range(wide))))
    ops += [Op(f"b{n}", "t", (wide,), (), (n,)) for n in range(wide)]
    problem = problem_of(Graph("fan", tuple(Storage(n + 1) for n in range(wide)), tuple(ops)))
    assert sum(map(len, reduced(problem, Effort(0)).jobs.before)) <= 2 * wide
    assert contracted(problem, Effort(10**6)).exact
