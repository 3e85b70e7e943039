"""Profiles: canonical form, dominance, and merging of independent chains."""

from __future__ import annotations

import random
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.order.dominance.merge import merged
from roam_lab.order.dominance.profile import canonical, dominates, moments
from roam_lab.order.reduce.jobs import Job, join, ops_of

STEP = st.tuples(st.integers(0, 9), st.integers(-9, 9))
CHAIN = st.lists(STEP, max_size=7)


def chain(steps: list[tuple[int, int]], first: int = 0) -> list[Job]:
    return [Job(max(hill, net, 0), net, (first + number,)) for number, (hill, net) in enumerate(steps)]


def peak(jobs: list[Job]) -> int:
    return max(moments(jobs))


def interleavings(one: list[Job], other: list[Job]) -> list[list[Job]]:
    count = len(one) + len(other)
    found = []
    for places in combinations(range(count), len(one)):
        mine, theirs = iter(one), iter(other)
        found.append([next(mine) if place in places else next(theirs) for place in range(count)])
    return found


@settings(max_examples=200, deadline=None, derandomize=True)
@given(steps=CHAIN)
def test_the_canonical_form_is_the_same_profile_in_fewer_jobs(steps: list[tuple[int, int]]) -> None:
    jobs = chain(steps)
    short = canonical(jobs)
    assert dominates(short, jobs)
    assert dominates(jobs, short)
    assert ops_of(short) == list(range(len(jobs)))
    assert canonical(short) == short
    levels = moments(short)
    hills, valleys = levels[1::2], levels[::2]
    lowest = max(at for at, valley in enumerate(valleys) if valley == min(valleys))
    assert valleys[: lowest + 1] == sorted(valleys[: lowest + 1], reverse=True)
    assert hills[:lowest] == sorted(set(hills[:lowest]))
    assert hills[lowest:] == sorted(set(hills[lowest:]), reverse=True)
    assert valleys[lowest:] == sorted(set(valleys[lowest:]))


def test_dominance_by_hand() -> None:
    low, high = chain([(5, 2)]), chain([(6, 2)])
    assert dominates(low, high)
    assert not dominates(high, low)
    late, early = chain([(1, 1), (5, -1)]), chain([(5, -2), (3, 2)])
    assert not dominates(late, early)  # both end where they began, but only one has a valley below
    assert dominates(early, chain([(5, 0)]))
    assert not dominates(chain([(5, 0)]), early)
    assert not dominates(chain([(3, 1)]), chain([(3, 0)]))  # it ends higher


@settings(max_examples=150, deadline=None, derandomize=True)
@given(one=st.lists(STEP, max_size=5), other=st.lists(STEP, max_size=4))
def test_merging_independent_chains_dominates_every_interleaving(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    mine, theirs = chain(one), chain(other, first=100)
    best = merged([canonical(mine), canonical(theirs)])
    assert sorted(ops_of(best)) == sorted(ops_of([*mine, *theirs]))
    assert all(dominates(best, others) for others in interleavings(mine, theirs))


def test_dominance_is_what_a_larger_schedule_sees() -> None:
    """If A dominates B, then beside any third chain A reaches no higher a peak than B."""
    draw = random.Random(3)
    seen = {False: 0, True: 0}
    for _ in range(300):
        one, other, beside = (chain([(draw.randint(0, 9), draw.randint(-5, 5)) for _ in range(3)]) for _ in range(3))
        difference = sum(job.net_bytes for job in one) - sum(job.net_bytes for job in other)
        other.append(Job(max(difference, 0), difference, ()))  # let both end alike
        better = dominates(one, other)
        seen[better] += 1
        if better:
            assert min(map(peak, interleavings(one, beside))) <= min(map(peak, interleavings(other, beside)))
    assert min(seen.values()) > 20


def test_joined_jobs_keep_their_ops_in_turn() -> None:
    jobs = chain([(3, 1), (4, -2), (2, 2)])
    assert join(jobs) == Job(5, 1, tuple(jobs))
    assert ops_of([join(jobs[:2]), jobs[2]]) == [0, 1, 2]
