"""Blocks: what is joined, and that joining costs no order a byte."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.order.problem import problem_of
from roam_lab.order.task_tree.blocks import Blocks, blocks_of
from tests.order.task_tree.problems import least_peak, legal, problem, random_problem
from tests.plan.graphs import random_graph
from tests.plan.training_step import training_step


def order_of(blocks: Blocks) -> list[int]:
    return [op for group in blocks.expand([[b] for b in range(len(blocks.problem))]) for op in group]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_the_optimum_of_the_blocks_is_that_of_the_whole(seed: int) -> None:
    whole = problem_of(random_graph(seed, 6))
    blocks = blocks_of(whole)
    assert least_peak(blocks.problem) == least_peak(whole)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_an_order_of_blocks_is_an_order_of_ops_with_the_same_peak(seed: int) -> None:
    whole = random_problem(seed)
    blocks = blocks_of(whole)
    order = order_of(blocks)
    assert legal(whole, order)
    assert whole.peak(order) == blocks.problem.peak(range(len(blocks.problem)))
    assert whole.peak(order) <= whole.peak(range(len(whole)))


def test_an_op_that_creates_nothing_joins_the_last_that_it_follows() -> None:
    blocks = blocks_of(problem(((), 5, ()), ((), 9, [0]), ((), None, [0, 1]), ((), 7, [0])))
    assert blocks.ops == [[0], [1, 2], [3]]


def test_an_op_that_frees_nothing_joins_the_first_that_follows_it() -> None:
    # Op 1 makes what op 3 needs, and reads what op 3 reads, too.
    blocks = blocks_of(problem(((), 5, ()), ((), 9, [0]), ((), 2, [0]), ((), 3, [0, 1])))
    assert blocks.ops == [[0], [2], [1, 3]]


def test_ops_apart_stay_apart() -> None:
    # Which of ops 1 and 2 runs last is open, so op 3 joins neither; op 3 creates nothing, op 4 needs both.
    blocks = blocks_of(problem(((), 5, ()), ((), 9, [0]), ((), 7, [0]), ((), None, [1, 2]), ((), 1, [1, 2])))
    assert [3] in [list(ops) for ops in blocks.ops]


def test_ops_without_storages_run_where_they_are_needed() -> None:
    whole = problem(((), None, ()), ((), 5, ()), ([0], 6, [1]), ([1], None, ()), ((), 4, [1]))
    blocks = blocks_of(whole)
    assert 0 not in [op for ops in blocks.ops for op in ops]
    # Op 3 is needed by none and runs as soon as it can, op 0 just before op 2.
    assert blocks.expand([[0], [1, 2]]) == [[1, 3], [0, 2, 4]]


def test_a_group_runs_the_same_ops_whatever_the_sequence_of_its_blocks() -> None:
    graph = training_step(2)
    blocks = blocks_of(problem_of(graph))
    free = [b for b in range(len(blocks.problem)) if not blocks.problem.followers[b]][-2:]
    rest = [b for b in range(len(blocks.problem)) if b not in free]
    one, other = (blocks.expand([rest, last]) for last in (free, free[::-1]))
    assert set(one[1]) == set(other[1])


def test_a_training_step_shrinks() -> None:
    whole = problem_of(training_step(4))
    assert len(blocks_of(whole).problem) < 0.8 * len(whole)


@pytest.mark.parametrize(("seconds", "joined"), [(0.0, False), (60.0, True)])
def test_nothing_is_joined_without_time(seconds: float, joined: bool) -> None:
    whole = problem_of(training_step(2))
    blocks = blocks_of(whole, time.perf_counter() + seconds)
    assert (len(blocks.problem) < len(whole)) is joined
    assert legal(whole, order_of(blocks))
