"""The skeleton of the tree, its cut points and the problems of its leaves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.order.problem import problem_of
from roam_lab.order.task_tree.segments import insensitive
from roam_lab.order.task_tree.split import Node, carried_bytes, tree_of, waist
from tests.order.task_tree.problems import problem, random_problem
from tests.plan.graphs import random_graph
from tests.plan.training_step import training_step


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(1, 39), max_size=4))
def test_the_parts_problems_are_those_of_the_whole(seed: int, cuts: list[int]) -> None:
    whole = problem_of(random_graph(seed, 30)) if seed % 2 else random_problem(seed)
    count = len(whole)
    bounds = sorted({0, count, *(cut for cut in cuts if cut < count)})
    run = list(range(count))
    curve = whole.curve(run)
    for low, high, part in zip(bounds, bounds[1:], whole.stretches(run, bounds), strict=False):
        slow = whole.part(run[low:high], run[:low])
        assert part.after == slow.after
        assert part.base_bytes == slow.base_bytes
        assert sorted(zip(part.storage_of, part.given, part.kept, part.users, strict=True)) == sorted(
            zip(slow.storage_of, slow.given, slow.kept, slow.users, strict=True)
        )
        assert part.uses == [
            [number for number, users in enumerate(part.users) if op in users] for op in range(high - low)
        ]
        assert part.curve(range(high - low)).tolist() == curve[low:high].tolist()


def test_the_parts_ops_are_numbered_in_the_sequence_of_the_run() -> None:
    whole = problem(((), 1, ()), ((), 2, [0]), ((), 4, [0]), ((), 8, [1]))
    (part,) = whole.stretches([0, 2, 1, 3], [0, 4])
    assert list(part.op_of) == [0, 2, 1, 3]
    assert part.after == [[], [0], [0], [2]]


def test_bytes_carried_between_steps() -> None:
    whole = problem(((), 1, ()), ((), 2, [0]), ((), 4, [0]), ((), 8, [1]))
    assert carried_bytes(whole, [0, 1, 2, 3]).tolist() == [1, 3, 2, 0]
    assert waist(np.array([1, 3, 2, 0]), [1, 3]) == 3
    assert waist(np.array([1, 3, 2, 0]), [0]) == 0


def leaf_weights(step: Node, weights: list[int]) -> list[int]:
    return [sum(weights[leaf.low : leaf.high]) for leaf in step.leaves()]


@pytest.mark.parametrize("limit", [8, 40, 128, 100_000])
def test_leaves_are_small_and_cover_the_run(limit: int) -> None:
    whole = problem_of(training_step(6))
    run = list(range(len(whole)))
    weights = [1 + op % 3 for op in run]
    step = tree_of(whole, run, weights, insensitive(whole, run), limit)
    leaves = step.leaves()
    assert [leaf.low for leaf in leaves] == [0, *(leaf.high for leaf in leaves[:-1])]
    assert leaves[-1].high == len(run)
    assert max(leaf_weights(step, weights)) <= limit
    assert {child.kind for child in step.children} == {"segment"}
    assert {leaf.kind for leaf in leaves} == {"leaf"}
    assert (len(leaves) == 1) is (limit >= sum(weights))


def test_neighbouring_segments_share_a_task_up_to_the_limit_but_not_across_the_waist() -> None:
    # A chain: every bound is one. Op 1's storage of 64 bytes is read at the end, so what follows op 1 is the waist.
    rows: list[tuple[list[int], int, list[int]]] = [([], 1, []), ([0], 64, [0])]
    rows += [([before], 1, [before]) for before in range(1, 9)]
    rows.append(([9], 1, [1, 9]))
    whole = problem(*rows)
    step = tree_of(whole, range(11), [1] * 11, range(11), 4)
    middle = waist(carried_bytes(whole, range(11)), range(11))
    bounds = [child.low for child in step.children]
    assert middle in bounds
    assert bounds == [0, 3, 7] if middle == 3 else all(child.high - child.low <= 4 for child in step.children)


def test_one_heavy_step_is_a_leaf_by_itself() -> None:
    whole = random_problem(1, 20)
    count = len(whole)
    weights = [50 if op == count // 2 else 1 for op in range(count)]
    step = tree_of(whole, range(count), weights, [0], 8)
    heavy = [leaf for leaf in step.leaves() if leaf.low <= count // 2 < leaf.high]
    assert [(leaf.low, leaf.high) for leaf in heavy] == [(count // 2, count // 2 + 1)]


def test_a_segment_is_cut_at_a_local_cut_point_before_a_cheap_state() -> None:
    # Two diamonds, 0-4 and 4-8, joined by op 4, whose storage is large: cheaper states lie on either side.
    rows: list[tuple[list[int], int, list[int]]] = [([], 1, [])]
    for begin, size in ((0, 90), (4, 1)):
        rows += [([], 1, [begin]) for _ in range(3)]
        rows.append(([], size, [begin + 1, begin + 2, begin + 3]))
    whole = problem(*rows)
    step = tree_of(whole, range(9), [1] * 9, [0], 8)
    assert [child.low for child in step.children[0].children] == [0, 4]
