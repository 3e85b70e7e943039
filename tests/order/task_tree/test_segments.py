"""The backbone, floating branches and memory-insensitive ops."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.order.problem import Problem, problem_of
from roam_lab.order.reduce.precedence import reach
from roam_lab.order.task_tree import segments
from roam_lab.order.task_tree.segments import LARGEST_UPDATE, SLACK, backbone, floating, insensitive
from tests.order.task_tree.problems import problem, random_problem
from tests.plan.training_step import training_step


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_insensitive_ops_are_those_comparable_to_all(seed: int) -> None:
    whole = random_problem(seed)
    others = len(whole) - 1
    comparable = [
        op for op in range(len(whole)) if len(reach(whole.after, op)) + len(reach(whole.followers, op)) == others
    ]
    assert insensitive(whole, range(len(whole))) == comparable


def test_insensitive_among_some_ops_only() -> None:
    # 0 -> 1 -> 3, and 0 -> 2: without op 2, every op is.
    whole = problem(((), 1, ()), ([0], 1, ()), ([0], 1, ()), ([1], 1, ()))
    assert insensitive(whole, [0, 1, 2, 3]) == [0]
    assert insensitive(whole, [0, 1, 3]) == [0, 1, 2]


def test_the_backbone_is_what_the_deepest_op_needs() -> None:
    # 0 -> 1 -> 2 -> 4 is the longest chain; op 3 hangs off op 1.
    whole = problem(((), 1, ()), ([0], 1, ()), ([1], 1, ()), ([1], 1, ()), ([2], 1, ()))
    assert backbone(whole) == [0, 1, 2, 4]
    assert backbone(whole, {2, 4}) == [0, 1, 3]


def test_no_chain_ends_in_a_known_update() -> None:
    whole = problem(((), 1, ()), ([0], 1, ()), ([1], 1, ()), ([0], 1, ()))
    assert backbone(whole) == [0, 1, 2]
    assert backbone(whole, {1, 2}) == [0, 3]
    assert backbone(whole, {0, 1, 2, 3}) == [0, 1, 2]  # all are: then none is


def chains(*lengths: int) -> Problem:
    """Chains side by side from one op to one op."""
    rows: list[tuple[list[int], int, tuple[()]]] = [([], 1, ())]
    ends = []
    for length in lengths:
        before = 0
        for _ in range(length):
            rows.append(([before], 1, ()))
            before = len(rows) - 1
        ends.append(before)
    rows.append((ends, 1, ()))
    return problem(*rows)


def test_a_short_bridge_floats() -> None:
    whole = chains(SLACK + 3, 2)
    bridge = [SLACK + 4, SLACK + 5]
    assert floating(whole, range(len(whole))) == bridge
    assert floating(chains(SLACK + 2, 2), range(SLACK + 6)) == []


def test_a_large_branch_does_not_float() -> None:
    whole = chains(LARGEST_UPDATE + SLACK + 5, LARGEST_UPDATE + 1)
    assert floating(whole, range(len(whole))) == []


def test_a_second_tower_is_backbone() -> None:
    # Two chains from one op, with no op in common after: the shorter is too large for an update.
    rows: list[tuple[list[int], int, tuple[()]]] = [([], 1, ())]
    for length in (LARGEST_UPDATE + 20, LARGEST_UPDATE + 1, 3):
        before = 0
        for _ in range(length):
            rows.append(([before], 1, ()))
            before = len(rows) - 1
    whole = problem(*rows)
    assert backbone(whole) == list(range(len(whole) - 3))


def test_a_training_step_has_segments_once_updates_are_out() -> None:
    whole = problem_of(training_step(6))
    found = backbone(whole)
    assert 0 < len(found) < len(whole)
    assert len(insensitive(whole, range(len(whole)))) < len(insensitive(whole, found)) > segments.SLACK
