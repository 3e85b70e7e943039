"""The proof and what it is made of: cheapest states, and problems cut in parts."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from roam_lab.ir import Graph, captured_order, live_curve
from roam_lab.order.bound import lower_bound
from roam_lab.order.cut import Cuts
from roam_lab.order.list_scheduling import best_pass
from roam_lab.order.problem import problem_of
from tests.plan.graphs import SMALL, pumpkin, random_graph, two_halves


def cheapest_by_trying(graph: Graph, op: int) -> int:
    """The least bytes alive while `op` runs, over every set of ops closed under predecessors with `op` last."""
    best: int | None = None
    others = [other for other in range(len(graph.ops)) if other != op]
    for count in range(len(others) + 1):
        for before in combinations(others, count):
            done = {*before, op}
            closed = all(done.issuperset(graph.ops[one].after) for one in done)
            if closed and not any(op in graph.ops[one].after for one in before):
                live = 0
                for storage, users in enumerate(graph.users):
                    size = graph.storages[storage].bytes
                    started = graph.creator[storage] in done
                    over = done.issuperset(users) and not graph.storages[storage].output
                    live += size if op in users or (started and not over) else 0
                best = live if best is None else min(best, live)
    assert best is not None
    return best


@pytest.mark.parametrize("seed", range(40))
def test_minimum_cuts_are_the_cheapest_states(seed: int) -> None:
    graph = random_graph(seed, 6)
    cuts = Cuts(problem_of(graph))
    for op in range(len(graph.ops)):
        state = cuts.cheapest(op)
        assert state.bytes == cheapest_by_trying(graph, op)
        order = [*(done for done in state.done if done != op), op]
        order += [other for other in range(len(graph.ops)) if other not in state.done]
        assert live_curve(graph, order)[len(state.done) - 1] == state.bytes


@pytest.mark.parametrize("name", SMALL)
def test_a_certificate_adds_up(name: str) -> None:
    graph = SMALL[name]
    proof = lower_bound(graph)
    assert sum(graph.storages[storage].bytes for storage in proof.storages) >= proof.bytes
    assert proof.bytes <= live_curve(graph, captured_order(graph)).max(initial=0)


def test_a_certificate_by_hand() -> None:
    proof = lower_bound(pumpkin(3))
    assert (proof.op, proof.bytes, proof.kind) == (4, 112, "minimum cut")
    assert sorted(pumpkin(3).storages[storage].bytes for storage in proof.storages) == [4, 8, 100]


@pytest.mark.parametrize("seed", range(40))
def test_parts_join_to_the_whole(seed: int) -> None:
    problem = problem_of(random_graph(seed))
    draw = random.Random(seed)
    order = best_pass(problem)
    at = draw.randint(0, len(order))
    curve: list[int] = []
    for ops, done in ((sorted(order[:at]), []), (sorted(order[at:]), order[:at])):
        part = problem.part(ops, done)
        curve += part.curve([ops.index(op) for op in order if op in ops]).tolist()
    assert curve == problem.curve(order).tolist()


@pytest.mark.parametrize("seed", range(20))
def test_time_runs_backwards_too(seed: int) -> None:
    problem = problem_of(random_graph(seed))
    order = best_pass(problem)
    assert problem.reversed().curve(order[::-1]).tolist() == problem.curve(order)[::-1].tolist()


def test_limits_give_a_weaker_bound_never_none() -> None:
    assert 0 < lower_bound(two_halves(), work_limit=1).bytes <= lower_bound(two_halves()).bytes
    assert lower_bound(two_halves(), time_limit=1e-9).bytes > 0
