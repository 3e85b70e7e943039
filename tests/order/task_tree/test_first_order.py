"""The run that the tree splits."""

from __future__ import annotations

import time

import pytest

from roam_lab.order.bound import WORK_LIMIT, bound_of
from roam_lab.order.effort import Effort
from roam_lab.order.list_scheduling import best_pass
from roam_lab.order.problem import problem_of
from roam_lab.order.task_tree import first_order as module
from roam_lab.order.task_tree.first_order import first_order
from roam_lab.order.task_tree.segments import backbone
from tests.order.task_tree.problems import legal, random_problem
from tests.plan.graphs import empty
from tests.plan.training_step import training_step


@pytest.mark.parametrize("seed", range(15))
def test_no_worse_than_list_scheduling_or_captured(seed: int) -> None:
    problem = random_problem(seed, 60)
    first = first_order(problem, (), None)
    assert legal(problem, first.run)
    peak = problem.peak(first.run)
    assert first.floor_bytes <= peak <= min(problem.peak(best_pass(problem)), problem.peak(range(len(problem))))
    assert first.bounds == sorted(set(first.bounds))
    assert not first.timed_out


def test_bounds_begin_with_ops_that_all_of_the_backbone_precede_or_follow() -> None:
    problem = problem_of(training_step(4))
    first = first_order(problem, (), None)
    assert len(first.bounds) > 20
    hanging = set(range(len(problem))).difference(backbone(problem))
    for bound in first.bounds:
        op = first.run[bound]
        assert op not in hanging
        before = {other for other in first.run[:bound] if other not in hanging}
        reached, stack = set(), [op]
        while stack:
            for other in problem.after[stack.pop()]:
                if other not in reached:
                    reached.add(other)
                    stack.append(other)
        assert before <= reached


def test_the_peak_of_a_training_step_meets_the_bound() -> None:
    problem = problem_of(training_step(6))
    first = first_order(problem, (), None)
    assert problem.peak(first.run) == first.floor_bytes == bound_of(problem, first.run, Effort(WORK_LIMIT)).bytes


def test_above_the_bound_it_is_led_through_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = random_problem(7, 60)
    led = problem.peak(first_order(problem, (), None).run)
    monkeypatch.setattr(module, "improved", lambda problem, order, budget: list(order))
    assert led < problem.peak(first_order(problem, (), None).run)


def test_without_time_the_captured_order_stands() -> None:
    problem = problem_of(training_step(2))
    first = first_order(problem, (), time.perf_counter() - 1)
    assert first.run == list(range(len(problem)))
    assert first.timed_out


def test_no_ops() -> None:
    assert first_order(problem_of(empty()), (), None).run == []
