"""Greedy descent and polishing: which change is taken, what is tried for it, and when it ends."""

import numpy as np
import pytest

from roam_lab.rewrite import search as searching
from roam_lab.rewrite.explorer import Explorer
from roam_lab.rewrite.sweep import _best, _by_role, _gain, polish, reach, sweep
from roam_lab.rewrite.tape import DROP, HOLD, KEEP, NEVER, problem_of
from tests.rewrite.graphs import blocks, ladder, random_step

GRAPHS = [blocks(3), blocks(5, fused=False), *(ladder(seed, 4) for seed in range(4)), *map(random_step, (5, 11, 23))]
EFFORT = 10_000


def random_states(explorer, count):
    """States that can be run, drawn at random."""
    random, problem = np.random.default_rng(count), explorer.problem
    for _ in range(count):
        state = problem.start.copy()
        picked = problem.free_gaps[random.random(len(problem.free_gaps)) < random.choice((0.3, 0.9))]
        state[picked] = random.integers(0, 3, len(picked))
        if explorer.see(state).possible:
            yield state


def test_the_best_change_is_the_one_of_greatest_gain_and_no_other_is_tried():
    """Of the first and the last gap of each role: DROP and HOLD for what is kept, DROP for what is held, nothing for
    what is dropped. Of equal ones the first is taken."""
    found = dropped = 0
    for graph in GRAPHS:
        explorer = Explorer(problem_of(graph), EFFORT)
        for state in random_states(explorer, 8):
            target = int(explorer.see(state).peak * 0.8)
            seen = explorer.see(state, target)
            groups = _by_role(explorer, seen.hottest)
            ends = [gap for gaps in groups.values() for gap in dict.fromkeys((gaps[0], gaps[-1]))]
            others = {KEEP: (DROP, HOLD), DROP: (), HOLD: (DROP,)}
            dropped += sum(state[gap] == DROP for gap in ends)
            changes = []
            for gap, value in ((end, value) for end in ends for value in others[int(state[end])]):
                changed = state.copy()
                changed[gap] = value
                changes.append((gap, value, _gain(seen, explorer.see(changed, target))))
            gains = [gain for _, _, gain in changes]
            before, left = state.copy(), explorer.left
            best = _best(explorer, state, seen, groups, target)
            if max(gains, default=-1.0) > 0:
                assert best == changes[gains.index(max(gains))]
                assert (state == before).all()
                assert left - explorer.left == len(changes)
                found += 1
    assert found > 10
    assert dropped > 0


def test_polishing_ends_with_the_first_pass_that_gains_nothing():
    passes = {1: 0, 2: 0}
    for graph in GRAPHS:
        explorer = Explorer(problem_of(graph), EFFORT)
        for state in random_states(explorer, 3):
            target = explorer.see(state).peak
            whole, cost = polish(explorer, state, target, passes=20)
            assert cost.peak <= target
            assert cost.us <= explorer.see(state).us
            spent = []
            for most in (1, 2, 20):
                left = explorer.left
                again, after = polish(explorer, whole, target, passes=most)
                spent.append(left - explorer.left)
                assert after.us == pytest.approx(cost.us)
                assert (again == whole).all() or after.excess <= cost.excess
            assert spent[0] == spent[1] == spent[2]
            passes[1] += 1
            passes[2] += (whole != state).any()
    assert passes[1] > 10
    assert passes[2] > 3


def test_no_more_is_evaluated_than_the_effort_and_what_is_begun():
    graph = blocks(6)
    for effort in (1, 2, 5, 20, 60):
        explorer = Explorer(problem_of(graph), effort)
        left = [effort]
        state = sweep(explorer, explorer.problem.start)
        left.append(explorer.left)
        polish(explorer, state, explorer.front.peaks[0])
        assert left[1] > -100
        assert explorer.left >= min(left[1], 0) - 2  # its first look and its last
    explorer = Explorer(problem_of(graph), EFFORT)
    reach(explorer, explorer.problem.start, 0, effort=1)
    begun = EFFORT - explorer.left
    reach(explorer, explorer.problem.start, 0, NEVER)
    assert EFFORT - explorer.left > 2 * begun > 2


@pytest.mark.parametrize("graph", [blocks(6), ladder(3, 7), random_step(11)], ids=lambda graph: graph.name)
def test_a_search_polishes_what_is_within_the_budget_and_not_much_slower_and_nothing_else(graph, monkeypatch):
    """In a search for a budget the limit is the time of the fastest state within it."""
    explorer = Explorer(problem_of(graph), EFFORT)
    sweep(explorer, explorer.problem.start)
    front = explorer.front
    budget = front.peaks[len(front.peaks) // 2]
    reached, polished = [], []

    def kept(explorer, state, target, effort):
        limit = 1.1 * front.us[front.within(budget)]
        assert target == budget
        found, seen = reach(explorer, state, target, effort)
        reached.append(seen.peak <= budget and seen.us < limit)
        return found, seen

    def taken(explorer, state, target, passes):
        polished.append(len(reached))
        assert target == budget
        return polish(explorer, state, target, passes)

    monkeypatch.setattr(searching, "reach", kept)
    monkeypatch.setattr(searching, "polish", taken)
    searching.search(explorer, 3_000, budget=budget, seed=1)
    assert polished == [number for number, near in enumerate(reached, 1) if near]
    assert polished
    assert len(polished) < len(reached) or len(front.us) < 4
