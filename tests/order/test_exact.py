"""The exact order as a strategy: optimal when it finishes, honest when it does not."""

from __future__ import annotations

import pytest

from roam_lab.errors import ParameterError
from roam_lab.ir import Graph, captured_order, check_order, live_peak
from roam_lab.order.bound import lower_bound
from roam_lab.order.list_scheduling import list_scheduling
from roam_lab.order.outcome import Outcome, run
from roam_lab.plan import make_plan
from roam_lab.registry import find
from tests.order.search.graphs import narrow_graph
from tests.plan.graphs import best_peak, random_graph
from tests.plan.training_step import training_step

EXACT = find("order", "exact")


def outcome(graph: Graph, **values: object) -> Outcome:
    found = run(EXACT, graph, EXACT.accept(values))
    check_order(graph, found.order)
    return found


@pytest.mark.parametrize("seed", range(60))
def test_it_is_optimal_and_says_so(seed: int) -> None:
    graph = random_graph(seed, external=True)
    found = outcome(graph)
    assert live_peak(graph, found.order).bytes == found.lower_bound_bytes == best_peak(graph)
    assert not found.timed_out


def test_it_beats_the_list_and_proves_more_than_the_cut() -> None:
    graph = narrow_graph(1)
    found = outcome(graph)
    peak = live_peak(graph, found.order).bytes
    assert peak == found.lower_bound_bytes
    assert lower_bound(graph, found.order).bytes < peak < live_peak(graph, list_scheduling(graph)).bytes
    plan = make_plan(graph, order="exact")
    assert plan.optimal
    assert plan.peak_bytes == peak
    assert plan.certificate is not None
    assert plan.certificate.kind == "search"


def test_stopped_it_returns_the_best_at_hand_and_says_so() -> None:
    graph = narrow_graph(1)
    found = outcome(graph, states=20)
    assert found.timed_out
    assert found.lower_bound_bytes == 0
    assert "20 states" in found.note
    peaks = [live_peak(graph, order).bytes for order in (captured_order(graph), list_scheduling(graph))]
    assert live_peak(graph, found.order).bytes == min(peaks)
    with pytest.raises(ParameterError, match="states"):
        EXACT.accept({"states": 0})


def test_no_time_at_all() -> None:
    found = outcome(training_step(30), time_limit=0.0)
    assert found.timed_out
    assert "time limit" in found.note
