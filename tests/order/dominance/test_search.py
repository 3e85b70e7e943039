"""Blocks and exact search: every state and every order, against what is found."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.order.dominance.block import Block, View
from roam_lab.order.dominance.contract import unshared
from roam_lab.order.dominance.least import least_run
from roam_lab.order.dominance.profile import Job, dominates, moments
from roam_lab.order.dominance.search import Effort, SpentError, dominant_run

SEEDS = st.integers(0, 10**6)


def random_block(seed: int, most: int = 6) -> Block:
    draw = random.Random(seed)
    count = draw.randint(1, most)
    shares: list[list[int]] = [[] for _ in range(count)]
    sizes = {}
    for storage in range(draw.randint(0, 2) if count > 1 else 0):
        sizes[storage] = draw.choice((1, 4, 9))
        for job in draw.sample(range(count), draw.randint(2, count)):
            shares[job].append(storage)
    jobs = []
    for number in range(count):
        hill = draw.randint(0, 9)
        jobs.append(Job(hill, hill - draw.randint(0, 9), (number,), tuple(shares[number])))
    before = [[other for other in range(number) if draw.random() < 0.25] for number in range(count)]
    return Block(jobs, before, sizes)


def orders(block: Block) -> list[list[int]]:
    found: list[list[int]] = [[]]
    for _ in range(len(block)):
        found = [
            [*run, job]
            for run in found
            for job in range(len(block))
            if job not in run and all(other in run for other in block.before[job])
        ]
    return found


def states(block: Block) -> set[int]:
    return {sum(1 << job for job in run[:end]) for run in orders(block) for end in range(len(block) + 1)}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_a_block_as_a_problem_has_the_same_peaks(seed: int) -> None:
    block = random_block(seed, 5)
    problem = block.problem()
    for run in orders(block):
        assert problem.peak(run) == max(moments(unshared(block, run)))
        assert problem.curve(run).tolist() == moments(unshared(block, run))[1::2]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_the_lowest_state_holds_least(seed: int) -> None:
    block = random_block(seed)
    everything = (1 << len(block)) - 1
    for view in (View(block), View(block, backwards=True)):
        held = {0: 0}
        for run in orders(block):
            done = level = 0
            for job in run[::-1] if view.backwards else run:
                level += view.step(done, job)[1]
                done |= 1 << job
                assert held.setdefault(done, level) == level  # what a state holds is the same by every way
        lowest = view.lowest(0, everything)
        assert held[lowest] == min(held.values())
        assert all(held[state] > held[lowest] or state & lowest == lowest for state in held)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_a_dominant_run_dominates_every_order(seed: int) -> None:
    block = random_block(seed)
    best = unshared(block, dominant_run(block, Effort(10**6)))
    assert all(dominates(best, unshared(block, run)) for run in orders(block))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_the_least_peak_of_a_block(seed: int) -> None:
    block = random_block(seed)
    peaks = [max(moments(unshared(block, run))[1:]) for run in orders(block)]
    run, exact = least_run(block, range(len(block)), Effort(10**6), -1000)
    assert exact
    assert block.problem().peak(run) == min(peaks)


def test_effort_ends_a_search_with_what_is_known() -> None:
    block = next(block for block in map(random_block, range(1000)) if len(orders(block)) > 100)
    with pytest.raises(SpentError):
        dominant_run(block, Effort(1))
    worst = max(orders(block), key=block.problem().peak)
    run, exact = least_run(block, worst, Effort(1), -1000)
    assert run == worst
    assert not exact
