"""The automatic order: optimal where that can be checked, never worse than any other, the same every time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.ir import Graph, check_order, live_peak, load_graph
from roam_lab.order import auto as module
from roam_lab.order.auto import auto
from roam_lab.order.dominant import dominant
from roam_lab.order.outcome import run
from roam_lab.plan import make_plan
from roam_lab.registry import strategies
from tests.captured import step_file
from tests.order.dominance.graphs import hard_pumpkin
from tests.plan.graphs import SMALL, best_peak, pumpkin, random_graph
from tests.plan.training_step import training_step

OTHERS = [entry for entry in strategies("order") if entry.name != "auto"]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(0, 10**6))
def test_small_graphs_are_solved_and_proven(seed: int) -> None:
    graph = random_graph(seed, 8)
    outcome = auto(graph)
    check_order(graph, outcome.order)
    assert live_peak(graph, outcome.order).bytes == best_peak(graph)
    assert make_plan(graph).optimal


@pytest.mark.parametrize("chains", [3, 8, 20])
def test_search_proves_what_cuts_cannot(chains: int) -> None:
    graph = pumpkin(chains)
    plan = make_plan(graph)
    assert plan.peak_bytes == 104 + 4 * chains  # the last hill, over what the others left
    assert plan.optimal
    assert plan.certificate is not None
    assert plan.certificate.kind == "search"


def never_worse(graph: Graph, time_limit: float | None = None) -> None:
    best = live_peak(graph, auto(graph).order).bytes
    for other in OTHERS:
        named = {parameter.name for parameter in other.parameters}
        values = other.accept({"time_limit": time_limit} if time_limit and "time_limit" in named else {})
        order = run(other, graph, values).order
        assert best <= live_peak(graph, order).bytes, other.name


@pytest.mark.parametrize("name", SMALL)
def test_never_worse_than_any_other(name: str) -> None:
    never_worse(SMALL[name])


def test_never_worse_on_a_training_step() -> None:
    never_worse(training_step(6), 2.0)


def test_never_worse_on_a_captured_step() -> None:
    never_worse(load_graph(step_file("resnet50_batch1_adamw")), 2.0)


@pytest.mark.parametrize("left", ["STATES", "STEPS"])
def test_either_search_proves_and_without_both_there_is_no_proof(left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STATES" if left == "STEPS" else "STEPS", 0)
    assert make_plan(pumpkin(8)).optimal
    monkeypatch.setattr(module, left, 0)
    assert not make_plan(pumpkin(8)).optimal


def test_where_states_are_too_many_dominant_schedules_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """On small graphs they are the optimum, by brute force; on wide ones the proof, where the states never end."""
    monkeypatch.setattr(module, "STATES", 0)
    for seed in range(150):
        graph = random_graph(seed, 8)
        assert live_peak(graph, auto(graph).order).bytes == best_peak(graph), seed
    wide = hard_pumpkin(3)
    assert live_peak(wide, auto(wide).order).bytes == live_peak(wide, dominant(wide).order).bytes


def test_splitting_is_needed_where_search_may_not_go(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = load_graph(step_file("vit_b16_batch1_adamw"))
    monkeypatch.setattr(module, "STATES", 0)
    monkeypatch.setattr(module, "STEPS", 0)
    assert make_plan(graph).optimal
    monkeypatch.setattr(module, "ARCS", 0)
    assert not make_plan(graph).optimal


@pytest.mark.parametrize("graph", [training_step(8), pumpkin(9)], ids=["step", "pumpkin"])
def test_the_same_plan_every_time(graph: Graph) -> None:
    first, second = make_plan(graph, seed=3), make_plan(graph, seed=3)
    assert first == second


def test_no_time_gives_a_legal_order_at_once() -> None:
    graph = training_step(40)
    outcome = auto(graph, time_limit=0.0)
    check_order(graph, outcome.order)
