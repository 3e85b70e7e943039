"""The tree as data: leaves, statuses, pairs like brackets, moved updates."""

from __future__ import annotations

from roam_lab.order.task_tree.grow import grown, moves, pairs
from roam_lab.order.task_tree.leaf import Leaf
from roam_lab.order.task_tree.split import Node
from roam_lab.order.tasks import Moved
from tests.order.task_tree.problems import problem

CHAIN = problem(((), 1, ()), ((), 2, [0]), ((), 4, [1]), ((), 8, [2]), ((), 16, [3]), ((), 32, [4]))


def skeleton() -> Node:
    part = Node("part", 1, 4, [Node("leaf", 1, 2), Node("leaf", 2, 4)])
    return Node(
        "step", 0, 6, [Node("segment", 0, 1, [Node("leaf", 0, 1)]), Node("segment", 1, 6, [part, Node("leaf", 4, 6)])]
    )


def test_parents_hold_what_their_children_run() -> None:
    leaves = [Leaf((0,), "optimal", "bound", seconds=seconds) for seconds in (1.0, 2.0, 4.0)]
    leaves.append(Leaf((0,), "timed out", "ilp", seconds=8.0))
    step = grown(skeleton(), [[0], [1], [3, 2], [4, 5]], leaves, CHAIN, [Moved(3, 0, 1)], 2)
    assert step.ops == (0, 1, 3, 2, 4, 5)
    assert [child.ops for child in step.children] == [(0,), (1, 3, 2, 4, 5)]
    assert [leaf.ops for leaf in step.leaves()] == [(0,), (1,), (3, 2), (4, 5)]
    assert [leaf.status for leaf in step.leaves()] == ["optimal"] * 3 + ["timed out"]
    assert [child.status for child in step.children] == ["optimal", "timed out"]
    assert step.status == "timed out"
    assert [child.solve_seconds for child in step.children] == [1.0, 14.0]
    curve = CHAIN.curve(step.ops).tolist()
    assert [leaf.peak_bytes for leaf in step.leaves()] == [curve[0], curve[1], max(curve[2:4]), max(curve[4:])]
    assert step.peak_bytes == max(curve)
    assert step.moved == (Moved(3, 0, 1),)


def test_a_job_above_the_limit_becomes_leaves_of_the_limit() -> None:
    node = Node("step", 0, 1, [Node("segment", 0, 1, [Node("leaf", 0, 1)])])
    step = grown(node, [[0, 1, 2, 3, 4, 5]], [Leaf((0,), "optimal", "bound", seconds=3.0)], CHAIN, [], 4)
    assert [leaf.ops for leaf in step.leaves()] == [(0, 1, 2, 3), (4, 5)]
    assert step.solve_seconds == 3.0


def test_pairs_close_like_brackets() -> None:
    # Ops 0-3 make activations that ops 7-4 read, each its own; one segment an op.
    whole = problem(
        *[(() if not op else [op - 1], 10, ()) for op in range(4)],
        *[([op - 1], None, [7 - op]) for op in range(4, 8)],
    )
    segments = [[op] for op in range(8)]
    assert pairs(whole, segments) == [0, 1, 2, 3, 3, 2, 1, 0]


def test_the_heaviest_brackets_are_kept_where_some_cross() -> None:
    # Made 0, 1, 2; read 3 (of 1), 4 (of 0), 5 (of 2): op 2's lies across both.
    def step(second: int, third: int) -> list[int | None]:
        whole = problem(
            ((), 10, ()), ([0], second, ()), ([1], third, ()), ([2], None, [1]), ([3], None, [0]), ([4], None, [2])
        )
        return pairs(whole, [[op] for op in range(6)])

    assert step(10, 10) == [0, 1, None, 1, 0, None]
    assert step(10, 100) == [None, None, 0, None, None, 0]


def test_no_pairs_without_a_crossing() -> None:
    whole = problem(((), 10, ()), ((), 10, [0]))
    assert pairs(whole, [[0, 1]]) == [None]
    assert pairs(problem(), []) == []


def test_where_updates_went() -> None:
    # Ops 3 and 4 are updates: 3 follows 0 and runs in segment 2, 4 follows 3.
    whole = problem(((), 1, ()), ((), 1, [0]), ((), 1, [1]), ([0], 1, ()), ([3], 1, ()))
    step = Node("step", 0, 5, [Node("segment", 0, 1), Node("segment", 1, 2), Node("segment", 2, 5)])
    assert moves(whole, [3, 4], [[0], [1], [2, 3, 4]], step) == [Moved(3, 0, 2), Moved(4, 0, 2)]
