"""What is joined and what is taken out, by hand; and that the least peak stays."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.ir import Graph, Op, Storage, check_order, live_peak
from roam_lab.order.effort import Effort
from roam_lab.order.problem import problem_of
from roam_lab.order.reduce.jobs import ops_of
from roam_lab.order.reduce.reduced import reduced
from tests.order.dominance.graphs import least_peak
from tests.order.dominance.test_search import orders
from tests.plan.graphs import pumpkin, random_graph, two_halves

SEEDS = st.integers(0, 10**6)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_reducing_loses_nothing(seed: int) -> None:
    graph = random_graph(seed, 8)
    problem = problem_of(graph)
    left = reduced(problem, Effort(0))
    peaks = []
    for run in orders(left.jobs):
        order = left.order(run)
        check_order(graph, order)
        assert live_peak(graph, order).bytes <= left.problem.peak(run)
        peaks.append(left.problem.peak(run))
    assert min(peaks) == least_peak(graph)


def jobs_left(graph: Graph) -> list[list[int]]:
    return [ops_of([job]) for job in reduced(problem_of(graph), Effort(0)).jobs]


def test_a_chain_downhill_is_one_job() -> None:
    ops = tuple(Op(f"op_{i}", "t", (i - 1,) if i else (), (i,), (i - 1,) if i else ()) for i in range(4))
    assert jobs_left(Graph("chain", tuple(map(Storage, (40, 30, 20, 10))), ops)) == [[0, 1, 2, 3]]


def test_a_hill_may_wait_for_its_valley() -> None:
    assert jobs_left(pumpkin(2))[:5] == [[0], [1], [2], [3], [4]]  # a hill that frees the source must not wait
    left = reduced(problem_of(two_halves()), Effort(0))
    order = left.order(range(len(left.jobs)))
    assert order.index(2) == order.index(1) + 1  # what the gradient takes, its consumer gives back at once


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
    left = reduced(problem, Effort(0))
    assert left.taken_out == {2, 3}
    assert [ops_of([job]) for job in left.jobs] == [[0], [1], [4]]
    assert left.order(range(3)) == [0, 2, 1, 3, 4]
    assert sum(left.jobs.shared_bytes.values()) == 30  # freed by whichever of a and b runs last


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
    left = reduced(problem_of(graph), Effort(0))
    assert min(map(left.problem.peak, orders(left.jobs))) == least_peak(graph) == 100
