"""Leaves: certificates, the integer program, its limits; and processes that solve them."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from roam_lab.order.problem import Problem, problem_of
from roam_lab.order.task_tree import leaf as leaf_module
from roam_lab.order.task_tree import workers
from roam_lab.order.task_tree.leaf import Leaf, Limits, solve_leaf
from roam_lab.order.task_tree.leaf_ilp import solve_leaf_ilp
from tests.order.task_tree.problems import least_peak, legal, problem, random_problem
from tests.plan.graphs import pumpkin, random_graph, two_halves

EVERY = Limits(every=True)


@pytest.mark.parametrize("solver", ["highs", "cbc"])
def test_the_integer_program_finds_the_optimum(solver: str) -> None:
    for seed in range(12):
        problem = problem_of(random_graph(seed, 6))
        leaf = solve_leaf(problem, 0, Limits(solver, every=True))
        assert legal(problem, leaf.order)
        assert (leaf.status, leaf.solver) == ("optimal", "ilp")
        assert problem.peak(leaf.order) == least_peak(problem) == leaf.bound_bytes


def test_the_integer_program_keeps_dependences_inside_the_windows() -> None:
    # Each of ops 2 and 3 frees 100 bytes and must follow what makes the other's; ops 4 and 5 leave room to cheat.
    whole = problem(((), 100, ()), ((), 100, ()), ([1], None, [0]), ([0], None, [1]), ((), 1, ()), ((), 1, ()))
    leaf = solve_leaf(whole, 0, EVERY)
    assert legal(whole, leaf.order)
    assert whole.peak(leaf.order) == least_peak(whole) == 200


@pytest.mark.parametrize("seed", range(8))
def test_the_integer_program_of_a_part(seed: int) -> None:
    # Storages given before, kept after and passing through.
    whole = random_problem(seed, 20)
    ops = list(range(len(whole) // 3, len(whole) // 3 + 6))
    part = whole.part([op for op in ops if op < len(whole)], range(len(whole) // 3))
    leaf = solve_leaf(part, 0, EVERY)
    assert part.peak(leaf.order) == least_peak(part) == leaf.bound_bytes


def test_below_the_floor_there_is_nothing_to_gain() -> None:
    problem = problem_of(pumpkin(3))
    best = solve_leaf(problem, 0, Limits())
    assert problem.peak(best.order) < problem.peak(range(len(problem)))
    at_floor = solve_leaf(problem, problem.peak(best.order) + 1, Limits())
    assert (at_floor.status, at_floor.solver, at_floor.bound_bytes) == ("optimal", "bound", 0)


def test_a_floor_bounds_the_program_but_proves_nothing_of_the_leaf() -> None:
    problem = problem_of(pumpkin(3))
    floor = least_peak(problem) + 1
    assert problem.peak(range(len(problem))) > floor + 100
    solved, order = solve_leaf_ilp(problem, range(len(problem)), floor, "highs", None, 100)
    assert solved.answer == "optimal"
    assert order is not None
    assert problem.peak(order) <= floor + 3  # counted in units of 4 bytes


def test_a_leaf_too_large_for_a_program_says_feasible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaf_module, "LARGEST_PROGRAM", 3)
    leaf = solve_leaf(problem_of(pumpkin(3)), 0, EVERY)
    assert (leaf.status, leaf.solver) == ("feasible", "cuts")


def test_a_leaf_stops_at_its_nodes_with_the_best_found() -> None:
    problem = random_problem(7, 40)
    leaf = solve_leaf(problem, 0, Limits(nodes=0, every=True))
    assert legal(problem, leaf.order)
    assert problem.peak(leaf.order) <= problem.peak(range(len(problem)))
    assert leaf.status in ("optimal", "timed out")


@pytest.mark.parametrize("limits", [Limits(seconds=0.0), Limits(deadline=0.0), Limits(seconds=0.0, every=True)])
def test_a_leaf_without_time_says_so(limits: Limits) -> None:
    problem = problem_of(pumpkin(3))
    leaf = solve_leaf(problem, 0, limits)
    assert leaf.status == "timed out"
    assert legal(problem, leaf.order)


PROBLEMS = [problem_of(pumpkin(3)), problem_of(two_halves()), *(random_problem(seed, 12) for seed in range(3))]


def test_processes_find_what_this_one_finds() -> None:
    assert workers.processors() >= 1
    assert workers.solve_leaves(PROBLEMS, 0, EVERY, 2) == workers.solve_leaves(PROBLEMS, 0, EVERY, 1)


def test_without_processes_this_one_solves(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> list[Leaf]:
        raise OSError("no processes here")

    monkeypatch.setattr(workers, "_in_processes", refuse)
    leaves = workers.solve_leaves(PROBLEMS, 0, Limits(), 2)
    assert [problem.peak(leaf.order) for problem, leaf in zip(PROBLEMS, leaves, strict=True)] == [
        problem.peak(solve_leaf(problem, 0, Limits()).order) for problem in PROBLEMS
    ]


def test_after_the_deadline_leaves_keep_their_order() -> None:
    late = Limits(deadline=time.time() - 1)
    for leaf, given in zip(workers.solve_leaves(PROBLEMS, 0, late, 1), PROBLEMS, strict=True):
        assert leaf == Leaf(tuple(range(len(given))), "timed out", "")


def test_a_worker_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_or_as_it_stands", _sleeping())
    began = time.time()
    leaves = workers.solve_leaves(PROBLEMS[:2], 0, Limits(deadline=began + 0.5), 2)
    assert {leaf.status for leaf in leaves} == {"timed out"}
    assert time.time() - began < 20


def _sleeping() -> Callable[[Problem, int, Limits], Leaf]:
    """Sent to the workers by value, as it is defined in no module."""

    def sleep(problem: Problem, floor_bytes: int, limits: Limits) -> Leaf:
        import time

        time.sleep(60)
        raise AssertionError("it was to be killed")

    return sleep


def test_only_open_leaves_are_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Problem] = []

    def note(problem: Problem, floor_bytes: int, limits: Limits) -> Leaf:
        seen.append(problem)
        return Leaf(tuple(range(len(problem))), "feasible", "cuts")

    monkeypatch.setattr(workers, "_or_as_it_stands", note)
    floor = PROBLEMS[0].peak(range(len(PROBLEMS[0])))
    leaves = workers.solve_leaves(PROBLEMS[:2], floor, Limits(), 1)
    assert leaves[0].solver == "bound"
    assert seen == [problem for problem in PROBLEMS[:2] if problem.peak(range(len(problem))) > floor]
