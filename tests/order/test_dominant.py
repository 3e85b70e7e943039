"""The dominant strategy: against brute force, Liu's algorithm and the captured order; and dominance inside a whole."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.errors import ParameterError
from roam_lab.ir import Graph, captured_order, check_order, live_peak, load_graph
from roam_lab.order.bound import lower_bound
from roam_lab.order.dominance.search import dominant_run
from roam_lab.order.dominant import dominant
from roam_lab.order.effort import Effort
from roam_lab.order.list_scheduling import list_scheduling
from roam_lab.order.problem import problem_of
from roam_lab.order.reduce.jobs import jobs_of
from roam_lab.plan import make_plan
from roam_lab.registry import find
from tests.captured import ALL, step_file
from tests.order.dominance.graphs import (
    embedded,
    hard_pumpkin,
    in_tree,
    least_peak,
    liu_tree,
    mirrored,
    pumpkin,
    series_parallel,
)
from tests.plan.graphs import random_graph, two_halves
from tests.plan.training_step import training_step


def test_series_parallel_graphs_are_solved_and_proven() -> None:
    for seed in range(1000):
        graph = series_parallel(seed)
        found = dominant(graph)
        check_order(graph, found.order)
        assert live_peak(graph, found.order).bytes == least_peak(graph) == found.lower_bound_bytes, seed


@settings(max_examples=200, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_any_small_graph_is_solved_and_proven(seed: int) -> None:
    graph = random_graph(seed, 10)
    found = dominant(graph)
    check_order(graph, found.order)
    assert live_peak(graph, found.order).bytes == least_peak(graph) == found.lower_bound_bytes
    if live_peak(graph, captured_order(graph)).bytes == found.lower_bound_bytes:
        assert found.order == captured_order(graph)


@pytest.mark.parametrize("seed", range(12))
def test_trees_equal_liu(seed: int) -> None:
    """In-trees are solved by Liu's algorithm, and out-trees that mirror them; with shared outputs they are not."""
    graph = in_tree(seed)
    for tree in (graph, mirrored(graph)):
        found = dominant(tree, effort=0)
        check_order(tree, found.order)
        assert live_peak(tree, found.order).bytes == liu_tree(graph) == found.lower_bound_bytes


def test_liu_and_the_mirror_are_what_they_should_be() -> None:
    for seed in range(60):
        graph = in_tree(seed, 9)
        assert liu_tree(graph) == least_peak(graph) == least_peak(mirrored(graph))


@pytest.mark.parametrize("shared", [False, True])
def test_pumpkins_are_proven(shared: bool) -> None:
    for seed in range(8):
        graph = pumpkin(seed, 10, 300, shared)
        found = dominant(graph)
        check_order(graph, found.order)
        peak = live_peak(graph, found.order).bytes
        assert lower_bound(graph, found.order).bytes <= found.lower_bound_bytes == peak
    for seed in range(40):
        graph = pumpkin(seed, 3, 14, shared)
        found = dominant(graph)
        assert live_peak(graph, found.order).bytes == least_peak(graph) == found.lower_bound_bytes


def test_hard_pumpkins_are_proven() -> None:
    for seed in range(12):
        graph = hard_pumpkin(seed)
        found = dominant(graph)
        check_order(graph, found.order)
        peak = live_peak(graph, found.order).bytes
        assert lower_bound(graph, found.order).bytes <= found.lower_bound_bytes == peak, seed
        assert peak <= live_peak(graph, list_scheduling(graph)).bytes
    for seed in range(60):
        graph = hard_pumpkin(seed, 3, 4)
        found = dominant(graph)
        assert live_peak(graph, found.order).bytes == least_peak(graph) == found.lower_bound_bytes, seed


def legal(graph: Graph, part: list[int], draw: random.Random) -> list[int]:
    """A random legal order of the part."""
    order: list[int] = []
    while len(order) < len(part):
        left = [op for op in part if op not in order]
        order.append(draw.choice([op for op in left if not set(left) & set(graph.ops[op].after)]))
    return order


def test_a_dominant_schedule_of_an_isolated_part_hurts_no_whole() -> None:
    """Whatever runs around the part: with the part in this order, the whole does as well as with any other."""
    hurt = 0
    for seed in range(250):
        graph, part = embedded(seed)
        jobs = jobs_of(problem_of(graph).part(part, range(part[0])), Effort(0))
        best = [part[job] for job in dominant_run(jobs, Effort(10**6))]
        least = least_peak(graph)
        assert least_peak(graph, best) == least, seed
        hurt += any(least_peak(graph, legal(graph, part, draw)) > least for draw in map(random.Random, range(6)))
    assert hurt > 10  # else the test could not tell


def test_one_op_of_lookahead_is_not_enough() -> None:
    found = dominant(two_halves())
    assert live_peak(two_halves(), found.order).bytes == 140 == found.lower_bound_bytes


def test_a_plan_carries_the_proof() -> None:
    plan = make_plan(series_parallel(7), order="dominant")
    assert plan.optimal
    assert plan.order_strategy in ("dominant", "captured")


@pytest.mark.parametrize("effort", [0, 30])
def test_without_effort_orders_are_legal_and_no_worse_than_captured(effort: int) -> None:
    for seed in range(60):
        graph = random_graph(seed, 10)
        found = dominant(graph, effort=effort)
        check_order(graph, found.order)
        peak = live_peak(graph, found.order).bytes
        assert peak <= live_peak(graph, captured_order(graph)).bytes
        assert found.lower_bound_bytes in (0, peak)
        assert found.lower_bound_bytes or found.note or not peak
        assert found.lower_bound_bytes <= least_peak(graph)


@pytest.mark.parametrize("only", ["everything", "bottleneck"])
def test_it_stops_at_its_time_limit(only: str) -> None:
    graph = training_step(300)
    for limit in (0.0, 0.3):
        began = time.perf_counter()
        found = dominant(graph, time_limit=limit, only=only)
        assert time.perf_counter() - began < limit + 10  # generous: the machine is shared
        check_order(graph, found.order)
        assert live_peak(graph, found.order).bytes <= live_peak(graph, captured_order(graph)).bytes
        if not limit:
            assert found.timed_out
            assert found.note


def test_a_training_step_beats_one_op_of_lookahead_or_equals_it() -> None:
    graph = training_step(40)
    found = dominant(graph)
    assert live_peak(graph, found.order).bytes <= live_peak(graph, list_scheduling(graph)).bytes
    assert lower_bound(graph, found.order).bytes == found.lower_bound_bytes


def test_parameters_are_declared() -> None:
    entry = find("order", "dominant")
    assert entry.accept({})["only"] == "everything"
    with pytest.raises(ParameterError, match="bottleneck"):
        entry.accept({"only": "nothing"})


@pytest.mark.parametrize("name", [name for name in ALL if name.startswith(("gpt2_xl", "vit"))])
def test_captured_training_steps_are_proven_optimal(name: str) -> None:
    graph = load_graph(step_file(name))
    found = dominant(graph)
    check_order(graph, found.order)
    peak = live_peak(graph, found.order).bytes
    assert peak == found.lower_bound_bytes == lower_bound(graph, found.order).bytes
    assert peak <= live_peak(graph, list_scheduling(graph)).bytes
