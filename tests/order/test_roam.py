"""The roam order: its tree, its parameters, its limits, its place among rivals."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.errors import ParameterError
from roam_lab.ir import Graph, Op, Storage, captured_order, check_order, live_peak, load_graph
from roam_lab.order.bound import lower_bound
from roam_lab.order.outcome import Outcome
from roam_lab.order.roam import roam
from roam_lab.registry import find, strategies
from tests.captured import ALL, step_file
from tests.plan.graphs import SMALL, best_peak, pumpkin, random_graph, two_halves
from tests.plan.training_step import training_step

STEP = training_step(6)
RIVALS = ("captured", "lescea", "lpmf", "bfs", "dfs", "list")


def check_tree(graph: Graph, outcome: Outcome, node_limit: int) -> None:
    assert outcome.tasks is not None
    leaves = list(outcome.tasks.leaves())
    assert tuple(op for leaf in leaves for op in leaf.ops) == outcome.order == outcome.tasks.ops
    assert max(len(leaf.ops) for leaf in leaves) <= node_limit
    assert outcome.tasks.kind == "step"
    assert {child.kind for child in outcome.tasks.children} <= {"segment"}
    assert outcome.tasks.peak_bytes == max(leaf.peak_bytes for leaf in leaves) == live_peak(graph, outcome.order).bytes


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_a_graph_of_one_leaf_is_solved_to_the_optimum(seed: int) -> None:
    graph = random_graph(seed)
    outcome = roam(graph)
    check_order(graph, outcome.order)
    check_tree(graph, outcome, 128)
    assert live_peak(graph, outcome.order).bytes == best_peak(graph)
    assert outcome.lower_bound_bytes <= best_peak(graph)


def test_one_leaf_solved_by_program_is_a_proof() -> None:
    outcome = roam(two_halves(), leaves="all")
    assert outcome.lower_bound_bytes == live_peak(two_halves(), outcome.order).bytes == best_peak(two_halves())


@pytest.mark.parametrize("node_limit", [8, 16, 64, 128, 1024])
def test_a_training_step_is_optimal_at_every_node_limit(node_limit: int) -> None:
    outcome = roam(STEP, node_limit=node_limit)
    check_order(STEP, outcome.order)
    check_tree(STEP, outcome, node_limit)
    peak = live_peak(STEP, outcome.order).bytes
    assert peak == lower_bound(STEP, outcome.order).bytes < live_peak(STEP, captured_order(STEP)).bytes
    assert outcome.tasks is not None
    assert outcome.tasks.status == "optimal"


def test_segments_pair_up_and_updates_are_told() -> None:
    tasks = roam(STEP, node_limit=16).tasks
    assert tasks is not None
    numbers = [child.pair for child in tasks.children if child.pair is not None]
    half = len(numbers) // 2
    assert half >= 4  # the six layers of forward in leaves of 16 ops
    assert numbers == [*range(half), *reversed(range(half))]
    updates = {op for op, info in enumerate(STEP.ops) if info.phase == "update"}
    assert updates <= {move.op for move in tasks.moved}
    segment_of = {op: number for number, child in enumerate(tasks.children) for op in child.ops}
    assert all(move.home <= move.placed == segment_of[move.op] for move in tasks.moved)


def test_phases_are_not_needed() -> None:
    blind = Graph("blind", STEP.storages, tuple(replace(op, phase=None) for op in STEP.ops))
    peak = live_peak(STEP, roam(STEP).order).bytes
    assert live_peak(blind, roam(blind).order).bytes == peak


@pytest.mark.parametrize("solver", ["highs", "cbc"])
def test_every_leaf_by_program(solver: str) -> None:
    graph = training_step(2)
    outcome = roam(graph, node_limit=16, leaves="all", solver=solver, workers=1)
    check_tree(graph, outcome, 16)
    assert outcome.tasks is not None
    solvers = [leaf.solver for leaf in outcome.tasks.leaves()]
    assert solvers.count("ilp") > len(solvers) / 2  # the others are single blocks
    assert outcome == roam(graph, node_limit=16, leaves="all", solver=solver, workers=2)


def branching(seed: int, count: int) -> Graph:
    """Many ways to run it: every op reads what up to three of the eight before it made."""
    import random

    draw = random.Random(seed)
    ops: list[Op] = []
    for index in range(count):
        near = range(max(0, index - 8), index)
        reads = tuple(sorted({draw.choice(near) for _ in range(draw.randint(1, 3))})) if index else ()
        ops.append(Op(f"op_{index}", "t", reads, (index,), reads))
    return Graph(f"branching_{seed}", tuple(Storage(draw.choice((1, 8, 50, 100, 500))) for _ in ops), tuple(ops))


@pytest.mark.parametrize("seed", range(4))
def test_no_rival_is_better(seed: int) -> None:
    graph = branching(seed, 60)
    peak = live_peak(graph, roam(graph, leaf_seconds=0.5, workers=1).order).bytes
    for name in RIVALS:
        assert peak <= live_peak(graph, find("order", name).function(graph)).bytes, name


def test_a_limit_on_nodes_is_told() -> None:
    found = [roam(branching(seed, 60), leaf_nodes=0, leaf_seconds=2.0, workers=1) for seed in (0, 1, 4)]
    assert any(outcome.timed_out for outcome in found)
    for outcome in found:
        assert outcome.tasks is not None
        assert outcome.timed_out is (outcome.tasks.status == "timed out")


@pytest.mark.parametrize("limit", [0.0, 0.05, 0.3])
def test_it_stops_at_its_time_limit(limit: float) -> None:
    graph = training_step(100)
    began = time.perf_counter()
    outcome = roam(graph, time_limit=limit)
    assert time.perf_counter() - began < limit + 5  # generous: the machine may be busy
    check_order(graph, outcome.order)
    assert live_peak(graph, outcome.order).bytes <= live_peak(graph, captured_order(graph)).bytes
    if limit == 0:
        assert outcome.timed_out
        assert outcome.order == captured_order(graph)
        assert "0 s were over" in outcome.note


@pytest.mark.parametrize("graph", [*SMALL.values(), pumpkin(12)], ids=lambda graph: str(graph.name))
def test_small_graphs_at_the_least_node_limit(graph: Graph) -> None:
    outcome = roam(graph, node_limit=8)
    check_order(graph, outcome.order)
    check_tree(graph, outcome, 8)


@pytest.mark.parametrize(
    "graph",
    [
        Graph("one", (Storage(4, output=True),), (Op("o", "t", (), (0,)),)),
        Graph("bare", (), tuple(Op(f"o{i}", "t", (i - 1,) if i else ()) for i in range(20))),
        Graph("zero", (Storage(0), Storage(3)), (Op("a", "t", (), (0,)), Op("b", "t", (0,), (), (0,)))),
        Graph(
            "external",
            (Storage(5, region="op"), Storage(3)),
            (Op("a", "t", (), (0, 1)), Op("b", "t", (0,), (), (0,))),
        ),
        Graph("untouched", (Storage(5), Storage(3)), (Op("a", "t", (), (0,)), Op("b", "t", (), (1,)))),
    ],
    ids=lambda graph: str(graph.name),
)
def test_odd_graphs(graph: Graph) -> None:
    outcome = roam(graph, node_limit=8)
    check_order(graph, outcome.order)
    check_tree(graph, outcome, 8)


@pytest.mark.parametrize("wrong", [{"node_limit": 7}, {"node_limit": 1025}, {"solver": "gurobi"}, {"leaves": "some"}])
def test_parameters_are_checked(wrong: dict[str, object]) -> None:
    entry = next(entry for entry in strategies("order") if entry.name == "roam")
    with pytest.raises(ParameterError):
        entry.accept(wrong)


@pytest.mark.parametrize("name", ALL)
def test_captured_steps_are_optimal(name: str) -> None:
    graph = load_graph(step_file(name))
    outcome = roam(graph)
    check_tree(graph, outcome, 128)
    peak = live_peak(graph, outcome.order).bytes
    assert peak == lower_bound(graph, outcome.order).bytes
