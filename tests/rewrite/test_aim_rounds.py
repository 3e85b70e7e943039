"""How save sets are asked for, round by round: with what solvers and states answer written down beforehand."""

from types import SimpleNamespace

import numpy as np
import pytest

from roam_lab.rewrite import aim
from roam_lab.rewrite.evaluate import IMPOSSIBLE, Cost
from roam_lab.rewrite.explorer import Explorer
from roam_lab.rewrite.front import Front
from roam_lab.rewrite.save_set import Instant, SaveSet
from roam_lab.rewrite.segments import handed_on, segments
from roam_lab.rewrite.tape import DROP, HOLD, problem_of
from tests.rewrite.graphs import blocks, random_step

START, BEGIN = "start", Cost(1000, 100.0, 7)
FIRST = Instant(5, True, 0, exact=True)
ALONE, SAVED = frozenset[int](), frozenset({1})


def hot(instruction, main=True):
    return Instant(instruction, main, 0, False)


class Answers:
    """Each round, as (set that the solver finds, state's (us, peak), the instant of its peak, states evaluated)."""

    def __init__(self, monkeypatch, *rounds, left=20_000, share=1.0, first=FIRST, guards=(ALONE, SAVED)):
        self.rounds, self.left, self.front = list(rounds), left, Front()
        self.problem = SimpleNamespace(share=share)
        self.asked, self.given, self.targets = [], [], []
        monkeypatch.setattr(aim, "first_instant", lambda explorer, state: first)
        monkeypatch.setattr(aim, "guards", lambda explorer: guards)
        monkeypatch.setattr(aim, "fastest_set", self._solved)
        monkeypatch.setattr(aim, "smallest_set", self._solved)
        monkeypatch.setattr(aim, "_expanded", self._expanded)

    def see(self, state):
        assert state == START
        return BEGIN

    def _solved(self, problem, instants, limit, *rest):
        *scale, saved = rest
        assert scale in ([], [BEGIN.peak])
        self.asked.append((saved, [(one.instruction, one.main) for one in instants]))
        self.given.append(limit)
        return self.rounds[0][0] if self.rounds else None

    def _expanded(self, explorer, start, found, target):
        _, state, instant, spent = self.rounds.pop(0)
        self.targets.append(target)
        self.left -= spent
        if state:
            self.front.add(*state, np.zeros(1, np.int8))
        return instant


def found(us=50.0, bytes_=500, bound=0.0, slack=0):
    return SaveSet({}, us, bytes_, bound, slack)


def bytes_asked(monkeypatch, *rounds, **more):
    answers = Answers(monkeypatch, *rounds, **more)
    aim.aim_bytes(answers, 600, START)
    return answers.asked


def time_asked(monkeypatch, *rounds, us=120.0, **more):
    answers = Answers(monkeypatch, *rounds, **more)
    return aim.aim_time(answers, us, START), answers


@pytest.mark.parametrize("goal", ["bytes", "time"])
def test_every_guard_gets_three_rounds_each_with_one_more_instant(goal, monkeypatch):
    rounds = [(found(), None, hot(at), 1) for at in (1, 2, 3, 1, 2, 3)]
    asked = bytes_asked(monkeypatch, *rounds) if goal == "bytes" else time_asked(monkeypatch, *rounds)[1].asked
    instants = [[(5, True)], [(5, True), (1, True)], [(5, True), (1, True), (2, True)]]
    assert asked == [(ALONE, one) for one in instants] + [(SAVED, one) for one in instants]


@pytest.mark.parametrize("goal", ["bytes", "time"])
def test_a_guard_is_over_where_nothing_is_found_or_no_new_instant(goal, monkeypatch):
    def count(*rounds):
        asked = bytes_asked(monkeypatch, *rounds) if goal == "bytes" else time_asked(monkeypatch, *rounds)[1].asked
        return [sum(guard == one for one, _ in asked) for guard in (ALONE, SAVED)]

    assert count() == [1, 1]
    assert count((found(), None, None, 1)) == [1, 1]
    assert count((found(), None, hot(5), 1)) == [1, 1]  # known
    assert count((found(), None, hot(5, main=False), 1)) == [2, 1]  # another moment of the same instruction
    assert count((found(), None, hot(4), 1), (found(), None, hot(5), 1)) == [2, 1]


@pytest.mark.parametrize("goal", ["bytes", "time"])
@pytest.mark.parametrize(("spent", "guards"), [(aim.EFFORT - 1, 2), (aim.EFFORT, 2), (aim.EFFORT + 1, 1)])
def test_after_the_effort_no_further_guard_is_tried(goal, spent, guards, monkeypatch):
    rounds = [(found(), None, None, spent)]
    asked = bytes_asked(monkeypatch, *rounds) if goal == "bytes" else time_asked(monkeypatch, *rounds)[1].asked
    assert len(asked) == guards


@pytest.mark.parametrize("goal", ["bytes", "time"])
@pytest.mark.parametrize(("left", "rounds"), [(2, 2), (1, 1), (0, 0)])
def test_no_set_is_expanded_when_no_effort_is_left(goal, left, rounds, monkeypatch):
    answers = Answers(monkeypatch, *[(found(), None, hot(at), 1) for at in (1, 2, 3)], left=left, guards=(ALONE,))
    if goal == "bytes":
        aim.aim_bytes(answers, 600, START)
        assert answers.targets == [600] * rounds
    else:
        aim.aim_time(answers, 120.0, START)
        assert answers.targets == [500] * rounds


def test_a_state_within_the_target_and_near_the_least_time_found_ends_the_search(monkeypatch):
    def rounds(us, peak=600, second=60.0):
        asked = bytes_asked(
            monkeypatch, (found(50.0), None, hot(1), 1), (found(second), (us, peak), hot(2), 1), guards=(ALONE,)
        )
        return len(asked)

    assert rounds(aim.NEAR * 150) == 2  # the least was of the first round
    assert rounds(aim.NEAR * 150 + 1e-6) == 3
    assert rounds(aim.NEAR * 140, second=40.0) == 2
    assert rounds(aim.NEAR * 140 + 1e-6, second=40.0) == 3
    assert rounds(100.0, peak=601) == 3


def test_a_state_within_the_time_and_near_the_least_bytes_found_ends_the_search(monkeypatch):
    def rounds(peak, us=120.0, second=550):
        _, answers = time_asked(
            monkeypatch, (found(bytes_=500), None, hot(1), 1), (found(bytes_=second), (us, peak), hot(2), 1),
            guards=(ALONE,),
        )  # fmt: skip
        return len(answers.asked)

    assert rounds(aim.NEAR * 500) == 2
    assert rounds(502) == 3
    assert rounds(401, second=400) == 2
    assert rounds(402, second=400) == 3
    assert rounds(501, us=120.1) == 3


def test_what_is_proven_is_of_the_first_round_without_a_guard(monkeypatch):
    rounds = [(found(bound=300.9, slack=7), None, hot(1), 1), (found(bound=400.0), None, None, 1)]
    assert time_asked(monkeypatch, *rounds)[0] == 293
    assert time_asked(monkeypatch, *rounds, guards=(SAVED,))[0] == 0
    assert time_asked(monkeypatch, *rounds, first=hot(5))[0] == 0  # not exact
    assert time_asked(monkeypatch, *rounds, share=0.9)[0] == 0
    near = [(found(bytes_=990, bound=300.0), (110.0, 990), None, 1)]
    assert time_asked(monkeypatch, *near)[0] == 300


def test_time_that_a_state_took_too_much_is_taken_off_the_next_round(monkeypatch):
    def given(*rounds, us=120.0):
        return time_asked(monkeypatch, *rounds, us=us, guards=(ALONE,))[1].given

    slow = (found(bytes_=500), (125.0, 500), None, 1)
    assert given(slow) == [20.0, 15.0]
    assert given((found(bytes_=500), (125.0, 501), None, 1)) == [20.0]  # no state is as small
    assert given((found(bytes_=500), (120.11, 500), None, 1)) == [20.0]  # hardly too much
    assert given((found(bytes_=500), (120.13, 500), None, 1)) == [20.0, pytest.approx(19.87)]
    assert given((found(bytes_=500), (125.0, 500), hot(1), 1)) == [20.0, 20.0]  # a new instant goes first
    assert given((found(bytes_=500), (145.0, 500), None, 1)) == [20.0]  # nothing is left
    assert given((found(bytes_=500), (1001.0, 500), None, 1), us=1000.0) == [900.0]  # just hardly
    assert given(us=100.0) == []


@pytest.mark.parametrize(
    ("exact", "item"), [({1, 4}, 1), ({4}, 4), ({2, 4}, 2), ({3}, 2), ((), 2), ({0, 5}, 2)]
)  # the third is the highest; of two as high the first is taken, of none that is exact the highest
def test_the_first_instant_is_exact_and_nearly_the_highest(exact, item, monkeypatch):
    trace = SimpleNamespace(curve=np.array([990, 995, 1000, 994, 995, 2000]), found=np.array([5, 0]))
    explorer = SimpleNamespace(see=lambda state: Cost(1000, 1.0, 2), trace=trace)
    monkeypatch.setattr(aim, "instant_of", lambda explorer, item: Instant(item, True, 0, item in exact))
    assert aim.first_instant(explorer, START).instruction == item


def expanded(monkeypatch, costs, repaired=None, known=(), target=600):
    """What `_expanded` returns, and what it polishes, where the two ways lead to states of these costs."""
    polished, states = [], {(HOLD, HOLD): "held", (HOLD, DROP): "dropped"}
    by_state = dict(zip(states.values(), costs, strict=True))
    monkeypatch.setattr(aim, "applied", lambda explorer, start, found, *ways: states[ways])
    monkeypatch.setattr(aim, "instant_of", lambda explorer, item: item)
    monkeypatch.setattr(aim, "reach", lambda explorer, state, *rest: (state, (repaired or by_state)[state]))
    monkeypatch.setattr(aim, "polish", lambda explorer, *rest: polished.append(rest))
    explorer = SimpleNamespace(is_new=lambda state: state not in known, see=lambda state, target: by_state[state])
    return aim._expanded(explorer, START, found(), target), polished


def test_the_best_state_is_polished_and_the_instant_of_the_lowest_returned(monkeypatch):
    low, high, fast = Cost(650, 9.0, 1), Cost(700, 8.0, 2), Cost(700, 7.0, 3)
    assert expanded(monkeypatch, (low, high)) == (1, [("dropped", 700)])  # the faster of two above the target
    assert expanded(monkeypatch, (high, low)) == (1, [("held", 700)])
    assert expanded(monkeypatch, (high, high)) == (2, [("held", 700)])  # the first of equal ones
    assert expanded(monkeypatch, (high, fast)) == (2, [("dropped", 700)])
    assert expanded(monkeypatch, (low, fast), {"held": Cost(600, 9.5, 1), "dropped": fast}) == (1, [("held", 600)])
    assert expanded(monkeypatch, (Cost(600, 9.0, 1), high)) == (None, [("held", 600)])
    assert expanded(monkeypatch, (Cost(601, 9.0, 1), high)) == (1, [("dropped", 700)])


def test_states_that_are_known_or_cannot_be_run_are_passed_over(monkeypatch):
    state, never = Cost(700, 8.0, 2), Cost(IMPOSSIBLE, float("inf"), 0)
    assert expanded(monkeypatch, (never, state)) == (2, [("dropped", 700)])
    assert expanded(monkeypatch, (never, never)) == (None, [])
    assert expanded(monkeypatch, (Cost(650, 1.0, 1), state), known=("held",)) == (2, [("dropped", 700)])
    assert expanded(monkeypatch, (Cost(901, 1.0, 1), Cost(950, 1.0, 2))) == (1, [])  # too far to repair


@pytest.mark.parametrize(("count", "different"), [(4, 3), (2, 2)])
def test_the_guards_are_what_blocks_and_groups_of_two_and_three_hand_on(count, different):
    explorer = Explorer(problem_of(blocks(count)), 1)
    (level,) = explorer.roles.levels
    groups = [handed_on(explorer.problem, segments(explorer.problem, level, length)) for length in (1, 2, 3)]
    assert aim.guards(explorer)[0] == frozenset()
    assert aim.guards(explorer)[1:] == tuple(dict.fromkeys(groups))
    assert len(set(groups)) == different
    assert aim.guards(Explorer(problem_of(random_step(3)), 1)) == (frozenset(),)
