"""Joined runs: what is joined by hand, and what must not be."""

from __future__ import annotations

from roam_lab.ir import Graph, Op, Storage
from roam_lab.order.problem import problem_of
from roam_lab.order.search.runs import Sets, bits, join_runs
from tests.plan.graphs import pumpkin, two_halves


def runs_of(graph: Graph) -> list[list[int]]:
    return sorted(join_runs(Sets(problem_of(graph))))


def test_a_profile_by_hand() -> None:
    sets = Sets(problem_of(two_halves()))
    assert sets.profile([0, 1, 2], 0) == (140, 50)  # 50, then 90 more, which the third op frees
    assert sets.profile([3, 4], 0b111) == (90, 100 - 50)  # 40 more; 50 freed; 100 more; 40 freed


def test_a_chain_downhill_is_one_run() -> None:
    ops = tuple(Op(f"op_{i}", "t", (i - 1,) if i else (), (i,), (i - 1,) if i else ()) for i in range(4))
    assert runs_of(Graph("chain", tuple(map(Storage, (40, 30, 20, 10))), ops)) == [[0, 1, 2, 3]]


def test_a_hill_may_wait_for_its_valley() -> None:
    assert runs_of(pumpkin(2)) == [[0], [1], [2], [3], [4], [5]]  # a hill that frees the source must not wait
    halves = runs_of(two_halves())
    assert [1, 2] in halves  # what the gradient takes, its consumer gives back at once


def test_members_and_bits() -> None:
    assert list(bits(0b101001)) == [0, 3, 5]
