"""Pumpkins: the same dominant schedules as by search, and what counts as one."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from roam_lab.order.dominance.contract import unshared
from roam_lab.order.dominance.profile import dominates
from roam_lab.order.dominance.pumpkin import pumpkin_of, pumpkin_run
from roam_lab.order.dominance.search import dominant_run
from roam_lab.order.effort import Effort, SpentError
from roam_lab.order.reduce.jobs import Job, JobProblem


def random_pumpkin(seed: int, chains: int = 4, length: int = 5) -> JobProblem:
    """Up to `chains` chains of up to `length` jobs; one of each shares, and perhaps the last ones share as well."""
    draw = random.Random(seed)
    most = draw.choice((9, 30, 100))
    jobs: list[Job] = []
    before: list[list[int]] = []
    sizes = {0: draw.choice((1, 4, 9, 30, 100, 200))}
    if draw.random() < 0.3:
        sizes[1] = draw.choice((1, 9, 30))
    for _ in range(draw.randint(2, chains)):
        count = draw.randint(1, length)
        sharer = draw.randrange(count)
        for at in range(count):
            hill = draw.randint(0, most)
            shares = (0,) * (at == sharer) + tuple(sizes)[1:] * (at == count - 1)
            before.append([len(jobs) - 1] if at else [])
            jobs.append(Job(hill, hill - draw.randint(0, most), (len(jobs),), shares))
    return JobProblem(jobs, before, sizes)


def found(block: JobProblem) -> list[int]:
    pumpkin = pumpkin_of(block)
    assert pumpkin is not None
    run = pumpkin_run(pumpkin, Effort(10**6))
    assert sorted(run) == list(range(len(block)))
    assert all(run.index(other) < run.index(job) for job in run for other in block.before[job])
    return run


@pytest.mark.parametrize(("chains", "length", "count"), [(4, 5, 1500), (3, 12, 200), (6, 6, 200)])
def test_as_dominant_as_what_search_finds(chains: int, length: int, count: int) -> None:
    for seed in range(count):
        block = random_pumpkin(seed, chains, length)
        mine = unshared(block, found(block))
        theirs = unshared(block, dominant_run(block, Effort(10**6)))
        assert dominates(mine, theirs), seed
        assert dominates(theirs, mine), seed


def test_several_storages_with_the_same_sharers_are_one() -> None:
    for seed in range(50):
        block = random_pumpkin(seed)
        jobs = [replace(job, shares=(*job.shares, 7)) if 0 in job.shares else job for job in block.jobs]
        half = JobProblem(jobs, block.before, {**block.shared_bytes, 7: 5})
        whole = JobProblem(block.jobs, block.before, {**block.shared_bytes, 0: block.shared_bytes[0] + 5})
        assert found(half) == found(whole)


def test_what_is_no_pumpkin() -> None:
    jobs = [Job(3, 1, (number,), (0,) if number in (0, 3) else ()) for number in range(4)]
    assert pumpkin_of(JobProblem(jobs, [[], [0], [], [2]], {0: 4})) is not None
    assert pumpkin_of(JobProblem(jobs, [[], [0], [0], []], {0: 4})) is None  # an op with two followers
    assert pumpkin_of(JobProblem(jobs, [[], [], [0, 1], []], {0: 4})) is None  # an op with two to wait for
    other = [replace(job, shares=(*job.shares, 1)) if number in (0, 2) else job for number, job in enumerate(jobs)]
    assert pumpkin_of(JobProblem(other, [[], [0], [], [2]], {0: 4, 1: 2})) is None  # two moments
    ends = [replace(job, shares=(*job.shares, 1)) if number in (1, 3) else job for number, job in enumerate(jobs)]
    pumpkin = pumpkin_of(JobProblem(ends, [[], [0], [], [2]], {0: 4, 1: 2}))
    assert pumpkin is not None
    assert pumpkin.jobs.shared_bytes == {0: 4}  # the other is freed behind everything
    assert [list(chain) for chain in pumpkin.chains] == [[0, 1], [2, 3]]


def test_effort_ends_it() -> None:
    spent = 0
    for seed in range(30):
        pumpkin = pumpkin_of(random_pumpkin(seed))
        assert pumpkin is not None
        for effort in (Effort(1), Effort(10**6, deadline=0.0)):
            try:
                pumpkin_run(pumpkin, effort)
            except SpentError:
                spent += 1
    assert spent > 40
