"""Jobs and exact search: every state and every order, against what is found."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.order.dominance.contract import unshared
from roam_lab.order.dominance.least import least_run
from roam_lab.order.dominance.profile import dominates, moments
from roam_lab.order.dominance.search import dominant_run
from roam_lab.order.effort import Effort, SpentError
from roam_lab.order.reduce.jobs import Job, JobProblem
from roam_lab.order.reduce.states import States

SEEDS = st.integers(0, 10**6)


def random_jobs(seed: int, most: int = 6) -> JobProblem:
    draw = random.Random(seed)
    count = draw.randint(1, most)
    shares: list[list[int]] = [[] for _ in range(count)]
    sizes = {}
    for storage in range(draw.randint(0, 2) if count > 1 else 0):
        sizes[storage] = draw.choice((1, 4, 9))
        for job in draw.sample(range(count), draw.randint(2, count)):
            shares[job].append(storage)
    made = []
    for number in range(count):
        hill = draw.randint(0, 9)
        made.append(Job(hill, hill - draw.randint(0, 9), (number,), tuple(shares[number])))
    before = [[other for other in range(number) if draw.random() < 0.25] for number in range(count)]
    return JobProblem(made, before, sizes)


def orders(jobs: JobProblem) -> list[list[int]]:
    found: list[list[int]] = [[]]
    for _ in range(len(jobs)):
        found = [
            [*run, job]
            for run in found
            for job in range(len(jobs))
            if job not in run and all(other in run for other in jobs.before[job])
        ]
    return found


def states(jobs: JobProblem) -> set[int]:
    return {sum(1 << job for job in run[:end]) for run in orders(jobs) for end in range(len(jobs) + 1)}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_jobs_as_a_problem_have_the_same_peaks(seed: int) -> None:
    jobs = random_jobs(seed, 5)
    problem = jobs.as_problem
    for run in orders(jobs):
        assert problem.peak(run) == max(moments(unshared(jobs, run)))
        assert problem.curve(run).tolist() == moments(unshared(jobs, run))[1::2]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_the_lowest_state_holds_least(seed: int) -> None:
    jobs = random_jobs(seed)
    everything = (1 << len(jobs)) - 1
    for view in (States(jobs), States(jobs, backwards=True)):
        held = {0: 0}
        for run in orders(jobs):
            done = level = 0
            for job in run[::-1] if view.backwards else run:
                level += view.effect(done, job)[1]
                done |= 1 << job
                assert held.setdefault(done, level) == level  # what a state holds is the same by every way
        lowest = view.lowest(0, everything)
        assert held[lowest] == min(held.values())
        assert all(held[state] > held[lowest] or state & lowest == lowest for state in held)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_a_dominant_run_dominates_every_order(seed: int) -> None:
    jobs = random_jobs(seed)
    best = unshared(jobs, dominant_run(jobs, Effort(10**6)))
    assert all(dominates(best, unshared(jobs, run)) for run in orders(jobs))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_the_least_peak_of_jobs(seed: int) -> None:
    jobs = random_jobs(seed)
    peaks = [max(moments(unshared(jobs, run))[1:]) for run in orders(jobs)]
    run, exact = least_run(jobs, range(len(jobs)), Effort(10**6), -1000)
    assert exact
    assert jobs.as_problem.peak(run) == min(peaks)


def test_effort_ends_a_search_with_what_is_known() -> None:
    jobs = next(jobs for jobs in map(random_jobs, range(1000)) if len(orders(jobs)) > 100)
    with pytest.raises(SpentError):
        dominant_run(jobs, Effort(1))
    worst = max(orders(jobs), key=jobs.as_problem.peak)
    run, exact = least_run(jobs, worst, Effort(1), -1000)
    assert run == worst
    assert not exact
