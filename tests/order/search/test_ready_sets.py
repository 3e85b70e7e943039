"""The exact search against trying every order, and its limits."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.ir import Graph
from roam_lab.order.effort import Effort
from roam_lab.order.list_scheduling import best_pass
from roam_lab.order.problem import Problem, problem_of
from roam_lab.order.search.ready_sets import STATES, Searched, exact_order
from tests.order.search.graphs import in_turn, narrow_graph, parallel
from tests.plan.graphs import SMALL, best_peak, pumpkin, random_graph

ABOVE_ALL = 10**9
SEEDS = st.integers(0, 10**6)


def search(problem: Problem, upper: int, lower: int = 0, states: int = STATES) -> Searched:
    return exact_order(problem, upper, lower, Effort(states))


def check_against_all_orders(graph: Graph) -> None:
    problem = problem_of(graph)
    best = best_peak(graph)
    found = search(problem, ABOVE_ALL)
    assert found.complete
    assert found.lower_bound_bytes == best or not graph.ops
    if found.order is not None:
        assert sorted(found.order) == list(range(len(problem)))
        position = {op: step for step, op in enumerate(found.order)}
        assert all(position[other] < position[op] for op in position for other in problem.after[op])
        assert problem.peak(found.order) == best
    proof = search(problem, best)
    assert (proof.order, proof.complete, proof.lower_bound_bytes) == (None, True, best)


@pytest.mark.parametrize("name", SMALL)
def test_small_graphs(name: str) -> None:
    check_against_all_orders(SMALL[name])


@settings(max_examples=120, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_random_graphs(seed: int) -> None:
    check_against_all_orders(random_graph(seed, external=True))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(seed=SEEDS, shape=st.sampled_from([(2, 3), (3, 2), (6, 1)]))
def test_chains_alike(seed: int, shape: tuple[int, int]) -> None:
    check_against_all_orders(parallel(seed, *shape))


def test_chains_alike_do_not_multiply() -> None:
    found = search(problem_of(pumpkin(30)), ABOVE_ALL)
    assert (found.complete, found.lower_bound_bytes) == (True, 8 + 29 * 4 + 100)
    assert found.states < 1000


def test_segments_add_up() -> None:
    one, other = narrow_graph(2, 30), narrow_graph(0, 30)
    apart = [search(problem_of(graph), ABOVE_ALL) for graph in (one, other)]
    found = search(problem_of(in_turn(one, other)), ABOVE_ALL)
    assert found.lower_bound_bytes == apart[1].lower_bound_bytes > apart[0].lower_bound_bytes
    # Nothing of the first segment is looked at again when the second needs a higher level.
    assert found.states <= 1.1 * (apart[0].states + apart[1].states)


@pytest.mark.parametrize("seed", range(3))
def test_a_part_of_an_order(seed: int) -> None:
    problem = problem_of(narrow_graph(seed))
    order = best_pass(problem)
    part = problem.part(sorted(order[10:35]), order[:10])
    found = search(part, ABOVE_ALL)
    assert found.order is not None
    assert part.peak(found.order) == found.lower_bound_bytes <= part.peak(best_pass(part))


def test_limits() -> None:
    problem = problem_of(narrow_graph(2))
    least = search(problem, ABOVE_ALL).lower_bound_bytes
    few = search(problem, ABOVE_ALL, states=20)
    assert (few.order, few.complete) == (None, False)
    assert 20 <= few.states < 40
    assert 0 < few.lower_bound_bytes <= least
    late = exact_order(problem, ABOVE_ALL, 5, Effort(STATES, time.perf_counter()))
    assert (late.order, late.complete) == (None, False)
    assert 0 < late.lower_bound_bytes <= least


def test_bounds_that_meet_need_no_search() -> None:
    assert search(problem_of(narrow_graph(2)), 1500, 1500).states == 0
