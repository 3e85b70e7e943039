"""The reduced problem: the optimum is that of the whole, and its orders expand to orders of ops."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.order.effort import Effort, SpentError
from roam_lab.order.problem import Problem, problem_of
from roam_lab.order.reduce.jobs import jobs_of, ops_of
from roam_lab.order.reduce.reduced import Reduced, reduced
from tests.order.task_tree.problems import least_peak, legal, problem, random_problem
from tests.plan.graphs import random_graph
from tests.plan.training_step import training_step

SEEDS = st.integers(0, 10**6)


def fewer(whole: Problem) -> Reduced:
    return reduced(whole, Effort(0))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_the_optimum_is_that_of_the_whole(seed: int) -> None:
    whole = problem_of(random_graph(seed, 6))
    assert least_peak(fewer(whole).problem) == least_peak(whole)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=SEEDS, begin=st.integers(0, 20))
def test_the_optimum_of_a_part_is_that_of_its_jobs(seed: int, begin: int) -> None:
    """With storages that come from before, that stay, and that only pass through."""
    whole = random_problem(seed)
    begin = min(begin, len(whole) - 1)
    part = whole.part(range(len(whole))[begin : begin + 6], range(begin))
    left = fewer(part)
    assert least_peak(left.problem) == least_peak(part)
    assert least_peak(left.problem) == least_peak(jobs_of(part, Effort(0)).as_problem)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_an_order_of_jobs_is_an_order_of_ops_no_higher(seed: int) -> None:
    whole = random_problem(seed)
    left = fewer(whole)
    order = left.order(range(len(left.jobs)))
    assert legal(whole, order)
    assert whole.peak(order) <= left.problem.peak(range(len(left.jobs)))
    assert whole.peak(order) <= whole.peak(range(len(whole)))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_jobs_hold_what_their_ops_hold(seed: int) -> None:
    """Where nothing is joined, job by job."""
    whole = random_problem(seed)
    assert (
        jobs_of(whole, Effort(0)).as_problem.curve(range(len(whole))).tolist()
        == whole.curve(range(len(whole))).tolist()
    )


def test_an_op_that_creates_nothing_runs_right_after_the_last_that_it_follows() -> None:
    left = fewer(problem(((), 5, ()), ((), 9, [0]), ((), None, [0, 1]), ((), 7, [0])))
    assert [1, 2] in [ops_of([job])[-2:] for job in left.jobs]


def test_an_op_that_frees_nothing_waits_for_what_follows_it() -> None:
    # Op 1 makes what op 3 needs, and reads what op 3 reads, too.
    left = fewer(problem(((), 5, ()), ((), 9, [0]), ((), 2, [0]), ((), 3, [0, 1])))
    assert [1, 3] in [ops_of([job])[-2:] for job in left.jobs]


def test_what_none_needs_runs_in_the_group_that_lets_it_run() -> None:
    whole = problem(((), 30, ()), ((), 50, ()), ([0], 60, [1]), ([1], None, ()), ((), 40, [1]))
    left = fewer(whole)
    assert left.taken_out == {3}
    groups = left.expand([job] for job in range(len(left.jobs)))
    (group,) = (ops for ops in groups if 3 in ops)
    assert group[group.index(3) - 1] == 1


def test_a_group_runs_the_same_ops_whatever_the_sequence_of_its_jobs() -> None:
    left = fewer(problem_of(training_step(2)))
    problem = left.problem
    free = [job for job in range(len(problem)) if not problem.followers[job]][-2:]
    assert len(free) == 2
    rest = [job for job in range(len(problem)) if job not in free]
    one, other = (left.expand([rest, last]) for last in (free, free[::-1]))
    assert set(one[1]) == set(other[1])


def test_precedences_are_obeyed_and_contradictions_told() -> None:
    whole = problem(((), 5, ()), ((), 9, ()), ((), 7, ()), ((), 1, [0, 1, 2]))
    left = Reduced(whole, jobs_of(whole, Effort(0)))
    narrow = left.with_precedences([(2, 1), (1, 0)], Effort(0))
    assert narrow is not None
    assert narrow.order(range(len(narrow.jobs))) == [2, 1, 0, 3]
    assert left.with_precedences([(2, 1), (1, 2)], Effort(0)) is None
    assert left.with_precedences([(3, 0)], Effort(0)) is None


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_a_problem_with_a_precedence_more_has_the_least_peak_of_the_orders_that_obey_it(seed: int) -> None:
    whole = problem_of(random_graph(seed, 6))
    left = Reduced(whole, jobs_of(whole, Effort(0)))
    if len(whole) < 2:
        return
    narrow = left.with_precedences([(len(whole) - 1, len(whole) - 2)], Effort(0))
    if narrow is None:
        return
    after = [list(before) for before in whole.after]
    after[len(whole) - 2].append(len(whole) - 1)
    bound = Problem(after, *(getattr(whole, name) for name in list(whole.__dataclass_fields__)[1:]))
    assert least_peak(narrow.problem) == least_peak(bound)
    assert legal(whole, narrow.order(range(len(narrow.jobs))))


def test_a_training_step_shrinks() -> None:
    whole = problem_of(training_step(4))
    assert len(fewer(whole).jobs) < 0.4 * len(whole)


def test_it_stops_at_the_deadline() -> None:
    with pytest.raises(SpentError):
        reduced(problem_of(training_step(2)), Effort(0, time.perf_counter()))
