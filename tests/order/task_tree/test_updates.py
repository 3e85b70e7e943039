"""Putting updates back by memory."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.order.problem import problem_of
from roam_lab.order.task_tree.segments import backbone, floating
from roam_lab.order.task_tree.updates import _Gaps, put_back
from tests.order.task_tree.problems import legal, problem, random_problem
from tests.plan.training_step import training_step


@settings(max_examples=150, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), room=st.sampled_from((0, 300, 1000, 10**6)))
def test_any_room_gives_a_legal_order(seed: int, room: int) -> None:
    whole = random_problem(seed)
    core = backbone(whole)
    rest = [op for op in range(len(whole)) if op not in core]
    floats = floating(whole, core)
    run = [op for op in core if op not in floats]
    late = put_back(whole.reversed(), run[::-1], floats[::-1], room)[::-1]
    order = put_back(whole, late, rest, room)
    assert legal(whole, order)
    assert [op for op in order if op in run] == run


# A gradient (op 1, 10 bytes) is made; the backbone goes on through a spike of 100 bytes (op 2) to its end (op 3). The
# update (op 4) reads the gradient and needs 50 bytes of its own.
STEP = problem(((), 1, ()), ((), 10, [0]), ([1], 100, [0]), ([2], 1, ()), ((), 50, [1]))


@pytest.mark.parametrize(
    ("room", "order"),
    [
        (111, [0, 1, 4, 2, 3]),  # room at once
        (110, [0, 1, 4, 2, 3]),
        (55, [0, 1, 4, 2, 3]),  # none anywhere: where the most is least
    ],
)
def test_at_once_where_there_is_room(room: int, order: list[int]) -> None:
    assert put_back(STEP, [0, 1, 2, 3], [4], room) == order


def test_later_where_there_is_none() -> None:
    # At once the update's 95 bytes stand on the 20 of op 0, which are gone after op 2; the gradient waits.
    whole = problem(((), 20, ()), ((), 10, [0]), ((), 40, [0]), ([2], 1, ()), ((), 95, [1]))
    assert put_back(whole, [0, 1, 2, 3], [4], 130) == [0, 1, 4, 2, 3]
    assert put_back(whole, [0, 1, 2, 3], [4], 120) == [0, 1, 2, 4, 3]


def test_what_leaves_more_than_it_frees_waits_for_its_user() -> None:
    # Op 4 makes 50 bytes for op 5 alone, which must follow op 3.
    whole = problem(((), 1, ()), ((), 10, [0]), ([1], 30, [0]), ([2], 1, ()), ([1], 50, ()), ([3], None, [4]))
    assert put_back(whole, [0, 1, 2, 3], [4, 5], 1000) == [0, 1, 2, 3, 4, 5]


def test_a_bridge_runs_late_in_mirrored_time() -> None:
    # Op 4 reads op 0's storage, which op 5 reads as well, and makes 50 bytes for op 5: best just before it.
    whole = problem(((), 9, ()), ((), 1, [0]), ((), 70, [1]), ((), 1, [2]), ((), 50, [0]), ((), 1, [0, 3, 4]))
    run = [0, 1, 2, 3, 5]
    order = put_back(whole.reversed(), run[::-1], [4], 10**6)[::-1]
    assert order == [0, 1, 2, 3, 4, 5]


def test_the_bookkeeping_never_misses_bytes_of_steps() -> None:
    # Once all ops are in, what is noted of the backbone's steps is the curve of the final order there.
    whole = problem_of(training_step(4))
    core = backbone(whole)
    rest = [op for op in range(len(whole)) if op not in core]
    gaps = _Gaps(whole, core, rest)
    for op in rest:
        gaps.insert(op, 0)
    order = put_back(whole, core, rest, 0)
    curve = dict(zip(order, whole.curve(order).tolist(), strict=True))
    assert gaps.steps.tolist() == [curve[op] for op in core]


def test_without_a_backbone_ops_stand_as_given() -> None:
    assert put_back(STEP, [], [0, 1, 2, 3, 4], 0) == [0, 1, 2, 3, 4]
