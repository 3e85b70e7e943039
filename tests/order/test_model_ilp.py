"""The integer programs: the optimum where they finish, honest where they do not."""

from __future__ import annotations

import time

import pytest

from roam_lab.ir import Graph, check_order, live_peak
from roam_lab.order.bound import lower_bound
from roam_lab.order.effort import Effort
from roam_lab.order.list_scheduling import list_scheduling
from roam_lab.order.outcome import Outcome, run
from roam_lab.order.problem import Problem, problem_of
from roam_lab.order.reduce.reduced import reduced
from roam_lab.order.search.ready_sets import STATES, Searched, exact_order
from roam_lab.order.search.step_program import windows
from roam_lab.order.search.tightened import open_pairs, tightened
from roam_lab.plan import make_plan
from roam_lab.registry import find
from tests.order.search.graphs import narrow_graph, parallel
from tests.plan.graphs import best_peak, pumpkin, random_graph
from tests.plan.training_step import training_step
from tests.twins import sampled

MODEL = find("order", "model_ilp")
ABOVE_ALL = 10**9


def outcome(graph: Graph, **values: object) -> Outcome:
    found = run(MODEL, graph, MODEL.accept(values))
    check_order(graph, found.order)
    return found


def is_proven(graph: Graph, best: int, **values: object) -> bool:
    found = outcome(graph, **values)
    return live_peak(graph, found.order).bytes == found.lower_bound_bytes == best and not found.timed_out


def search(problem: Problem, upper: int = ABOVE_ALL) -> Searched:
    return exact_order(problem, upper, 0, Effort(STATES))


def optimum(graph: Graph) -> int:
    return search(problem_of(graph)).lower_bound_bytes


def hard_graphs(most_ops: int, count: int) -> list[Graph]:
    """Graphs on which bound and list schedule do not meet, so that there is something to solve."""
    graphs = (parallel(seed, 3, 2) if seed % 2 else random_graph(seed, most_ops) for seed in range(500))
    return [g for g in graphs if live_peak(g, list_scheduling(g)).bytes > lower_bound(g).bytes][:count]


@pytest.mark.parametrize("seed", range(40))
def test_the_optimum_of_small_graphs(seed: int) -> None:
    graph = random_graph(seed, external=True)
    assert is_proven(graph, best_peak(graph))


@pytest.mark.parametrize("streams", ["single", "multi"])
@pytest.mark.parametrize("solver", ["highs", "cbc"])
def test_the_optimum_where_the_list_proves_nothing(streams: str, solver: str) -> None:
    graphs = hard_graphs(10, 2)
    assert len(graphs) == 2
    for graph in graphs:
        assert is_proven(graph, optimum(graph), streams=streams, solver=solver)


@pytest.mark.parametrize(
    "graph",
    sampled([pumpkin(20), training_step(1), narrow_graph(1, 40), narrow_graph(2), narrow_graph(5, 50, 10)], 3),
    ids=lambda graph: graph.name,
)
def test_the_optimum_of_graphs_up_to_60_ops(graph: Graph) -> None:
    assert is_proven(graph, optimum(graph))


def test_a_plan_says_that_the_search_proved_it() -> None:
    plan = make_plan(pumpkin(8), order="model_ilp")
    assert plan.optimal
    assert plan.lower_bound_bytes == 8 + 7 * 4 + 100
    assert plan.certificate is not None
    assert plan.certificate.kind == "search"


def test_what_it_gave_up_is_no_optimum_of_its_own() -> None:
    """A list schedule may be proven optimal; the plan then says whose it is."""
    graph = pumpkin(8)
    given_up = make_plan(graph, order="model_ilp", order_parameters={"rows": 1})
    assert given_up.order_strategy in ("list", "captured")
    assert outcome(graph, rows=1).strategy == given_up.order_strategy
    assert make_plan(graph, order="model_ilp").order_strategy == "model_ilp"
    assert outcome(graph).strategy == ""


def test_too_large_is_not_even_built() -> None:
    graph = narrow_graph(3, 600, 40)
    began = time.perf_counter()
    for streams in ("single", "multi"):
        found = outcome(graph, streams=streams)
        assert found.timed_out
        assert "rows" in found.note
        assert live_peak(graph, found.order).bytes <= live_peak(graph, list_scheduling(graph)).bytes
    assert time.perf_counter() - began < 60


@pytest.mark.parametrize("streams", ["single", "multi"])
@pytest.mark.parametrize("time_limit", [0.0, 1.0])
def test_it_stops_at_its_time_limit(streams: str, time_limit: float) -> None:
    graph = narrow_graph(2, 60, 60)
    began = time.perf_counter()
    found = outcome(graph, streams=streams, time_limit=time_limit)
    assert time.perf_counter() - began < time_limit + 10  # generous: the machine may be busy
    assert found.timed_out
    assert "time limit" in found.note


@pytest.mark.parametrize("seed", sampled(range(15), 6))
def test_precedences_leave_the_best_order(seed: int) -> None:
    problem = problem_of(narrow_graph(seed, 25))
    left = reduced(problem, Effort(0))
    best = search(problem).lower_bound_bytes
    narrow = tightened(left, best + 1, Effort(0))
    assert narrow is not None
    assert search(narrow.problem).lower_bound_bytes == best
    below = tightened(left, best, Effort(0))
    assert below is None or search(below.problem, best).order is None
    assert len(open_pairs(narrow.problem)) < 25 * 24 / 2


def test_windows_by_hand() -> None:
    assert windows(problem_of(pumpkin(2))) == ([0, 1, 1, 2, 2, 3], [2, 3, 3, 4, 4, 5])
