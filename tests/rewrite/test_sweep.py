"""Greedy descent and polishing: which change is taken, what is tried for it, and when it ends."""

from types import SimpleNamespace

import numpy as np
import pytest

from roam_lab.rewrite import search as searching
from roam_lab.rewrite.evaluate import Cost
from roam_lab.rewrite.explorer import Explorer
from roam_lab.rewrite.sweep import (
    _best,
    _by_role,
    _gain,
    _kept_if_better,
    _of_copies,
    _whole_roles,
    polish,
    reach,
    sweep,
)
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


@pytest.mark.parametrize(
    ("removed", "chosen"),
    [
        ({("a", DROP): 5.0, ("a", HOLD): 2.0, ("b", DROP): 7.0, ("b", HOLD): 3.0}, ("b", DROP)),
        ({("a", DROP): 5.0, ("a", HOLD): 8.0, ("b", DROP): 7.0}, ("a", HOLD)),
        ({("a", DROP): 6.0, ("b", DROP): 6.0}, ("a", DROP)),  # of equal ones the first
        ({("b", HOLD): 0.5}, ("b", HOLD)),
        ({("a", DROP): 0.0, ("b", DROP): -1.0}, None),
        ({}, None),
    ],
)
def test_the_best_of_several_roles_is_changed_as_a_whole(removed, chosen):
    """A role of one gap is not tried; what does not help is put back."""
    groups = {"a": [1, 3], "b": [0, 4, 5], "single": [2]}
    start = np.array([KEEP, HOLD, KEEP, KEEP, DROP, KEEP])
    tried = []

    def see(state, _):
        (change,) = (
            (name, value)
            for name, gaps in groups.items()
            for value in (DROP, HOLD)
            if (state[gaps] == value).all() and (np.delete(state, gaps) == np.delete(start, gaps)).all()
        )
        tried.append(change)
        return Cost(0, 1.0, 0, over=10.0 - removed.get(change, 0.0))

    state = start.copy()
    found = _whole_roles(SimpleNamespace(see=see), state, Cost(0, 0.0, 0, over=10.0), groups, 0)
    assert tried == [("a", DROP), ("a", HOLD), ("b", DROP), ("b", HOLD)]
    expected = start.copy()
    if chosen is None:
        assert found is None
    else:
        name, value = chosen
        expected[groups[name]] = value
        assert found == (groups[name][0], value, removed[chosen])
    assert (state == expected).all()


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


@pytest.mark.parametrize(
    ("us", "excess", "peak", "taken"),
    [
        (9.0, 0.0, 100, True),
        (9.0, 99.0, 100, True),  # less time is enough
        (10.0 - 2e-6, 9.0, 100, True),
        (10.0 - 1e-7, 9.0, 100, False),  # not in the last digits
        (10.0, 8.0, 100, True),
        (10.0, 9.0, 100, False),
        (10.0 + 1e-7, 8.0, 100, False),
        (9.0, 0.0, 120, True),  # no higher than it was
        (9.0, 0.0, 121, False),
    ],
)
def test_a_change_is_kept_that_takes_less_time_or_no_more_and_is_nearer_the_target(us, excess, peak, taken):
    explorer = SimpleNamespace(left=1, see=lambda state, target: Cost(peak, us, 0, over=excess))
    state, seen = np.array([KEEP, DROP, DROP], np.int8), Cost(120, 10.0, 0, over=9.0)
    cost, better = _kept_if_better(explorer, state, seen, [0, 1], HOLD, 110)
    assert (better, cost.us) == (taken, us if taken else 10.0)
    assert state.tolist() == ([HOLD, HOLD, DROP] if taken else [KEEP, DROP, DROP])


def test_what_is_so_already_or_can_no_longer_be_evaluated_is_not_tried():
    state, seen = np.array([KEEP, DROP], np.int8), Cost(120, 10.0, 0)
    assert _kept_if_better(SimpleNamespace(left=9), state, seen, [1], DROP, 0) == (seen, False)
    assert _kept_if_better(SimpleNamespace(left=0), state, seen, [0, 1], DROP, 0) == (seen, False)
    lower = SimpleNamespace(left=1, see=lambda state, target: Cost(99, 9.0, 0))
    assert _kept_if_better(lower, state, seen, [0, 1], DROP, 0)[1]


def test_the_gaps_of_copies_are_in_lists_of_one_role_the_dearest_op_first():
    explorer, tried = Explorer(problem_of(blocks(4))), 0
    tape, of_gap = explorer.problem.tape, explorer.roles.of_gap.tolist()
    for state in random_states(explorer, 6):
        explorer.see(state)
        again = explorer.again().tolist()
        groups = _of_copies(explorer)
        gaps = [gap for gap in explorer.problem.free_gaps.tolist() if tape.creator[explorer.gap_storage[gap]] in again]
        assert sorted(gap for group in groups for gap in group) == gaps
        assert all(group == sorted(group) and len({of_gap[gap] for gap in group}) == 1 for group in groups)
        assert len({of_gap[group[0]] for group in groups}) == len(groups)
        times = [max(tape.op_us[tape.creator[explorer.gap_storage[gap]]] for gap in group) for group in groups]
        assert times == sorted(times, reverse=True)
        tried += len(groups) > 1
    assert tried > 1
