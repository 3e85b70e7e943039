"""Jobs in place of ops: what a run of ops does to memory, as far as the ops around it can tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from roam_lab.order.effort import Effort
from roam_lab.order.problem import Problem
from roam_lab.order.reduce.precedence import bits, direct, followers_of


@dataclass(frozen=True, slots=True)
class Job:
    """Ops that run one right after the other, seen from outside.

    `hill_bytes`: the most bytes alive while it runs, minus those alive before it. `net_bytes`: those alive after it,
    minus those alive before it. `parts`: op numbers, or the jobs that it joins, in the sequence in which they run.
    `shares`: storages that several jobs may be the last to use, this one among them; whichever runs last frees the
    storage, on top of its `net_bytes`.
    """

    hill_bytes: int
    net_bytes: int
    parts: tuple[int | Job, ...]
    shares: tuple[int, ...] = ()


def join(chain: Sequence[Job]) -> Job:
    """Jobs run one after the other as one job; none of them may share."""
    if len(chain) == 1:
        return chain[0]
    level = hill = 0
    for job in chain:
        hill = max(hill, level + job.hill_bytes)
        level += job.net_bytes
    return Job(hill, level, tuple(chain))


def ops_of(chain: Iterable[Job]) -> list[int]:
    """The ops of a chain of jobs in the sequence in which they run."""
    ops: list[int] = []
    stack: list[int | Job] = []
    stack.extend(chain)
    stack.reverse()
    while stack:
        part = stack.pop()
        if isinstance(part, Job):
            stack.extend(reversed(part.parts))
        else:
            ops.append(part)
    return ops


@dataclass(frozen=True)
class JobProblem:
    """Jobs in a legal order; `before[job]` are those that must run earlier, none of them implied by the others.

    `shared_bytes`: the size of each storage in the jobs' `shares`; no other job uses these. `base_bytes`: alive before
    any of the jobs runs. A set of jobs is an integer with one bit a job.
    """

    jobs: Sequence[Job]
    before: Sequence[Sequence[int]]
    shared_bytes: Mapping[int, int]
    base_bytes: int = 0

    def __len__(self) -> int:
        return len(self.jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(self.jobs)

    def __getitem__(self, number: int) -> Job:
        return self.jobs[number]

    @cached_property
    def sharers(self) -> dict[int, int]:
        """For each shared storage, the set of the jobs that share it."""
        found: dict[int, int] = {}
        for number, job in enumerate(self):
            for storage in job.shares:
                found[storage] = found.get(storage, 0) | 1 << number
        return found

    @cached_property
    def as_problem(self) -> Problem:
        """The same as a problem with an op for each job: equal orders hold equal bytes while each job runs.

        A job that ends higher than it began leaves a storage behind, one that ends lower takes a given one away, and
        what its hill adds is a storage that it alone uses.
        """
        uses: list[list[int]] = [[] for _ in self]
        users: list[list[int]] = []
        sizes: list[int] = []
        given: list[bool] = []
        kept: list[bool] = []

        def add(size: int, ops: list[int], comes: bool, stays: bool) -> None:
            if size:
                for op in ops:
                    uses[op].append(len(users))
                users.append(ops)
                sizes.append(size)
                given.append(comes)
                kept.append(stays)

        for number, job in enumerate(self):
            add(abs(job.net_bytes), [number], job.net_bytes < 0, job.net_bytes > 0)
            add(job.hill_bytes - max(job.net_bytes, 0), [number], False, False)
        for storage, group in sorted(self.sharers.items()):
            add(self.shared_bytes[storage], bits(group), True, False)
        return Problem(
            after=self.before,
            followers=followers_of(self.before),
            uses=uses,
            users=users,
            sizes=sizes,
            given=given,
            kept=kept,
            op_of=range(len(self)),
            storage_of=range(len(users)),
            base_bytes=self.base_bytes - sum(size for size, comes in zip(sizes, given, strict=True) if comes),
        )


def jobs_of(problem: Problem, effort: Effort) -> JobProblem:
    """A problem (its ops in a legal order) with every op a job. Raises SpentError at the deadline.

    A storage is allocated by its creator, which every user follows. If one user must follow all others, it frees the
    storage; otherwise those that may be the last share it.
    """
    hills, nets = [0] * len(problem), [0] * len(problem)
    groups: list[Sequence[int]] = []
    sizes: list[int] = []
    base = problem.base_bytes
    for storage, users in enumerate(problem.users):
        size, made = problem.sizes[storage], not problem.given[storage]
        if made:
            hills[users[0]] += size
            nets[users[0]] += size
        else:
            base += size
        if not problem.kept[storage]:
            groups.append(users[1:] if made and len(users) > 1 else users)
            sizes.append(size)
    jobs = [Job(hills[op], nets[op], (op,)) for op in range(len(problem))]
    return job_problem(jobs, problem.before, groups, sizes, base, effort)


def job_problem(
    jobs: Sequence[Job],
    before: Sequence[Iterable[int]],
    groups: Sequence[Sequence[int]],
    sizes: Sequence[int],
    base_bytes: int,
    effort: Effort,
) -> JobProblem:
    """Jobs (their own `shares` ignored) in a legal order; each of `groups` frees its `sizes` when all of it has run.

    Implied dependences, and members of a group that others of it must follow, are dropped; what a group of one frees
    becomes part of its job. Raises SpentError at the deadline.
    """
    after, last = direct(before, groups, effort)
    nets = [job.net_bytes for job in jobs]
    shares: list[list[int]] = [[] for _ in jobs]
    for number, members in enumerate(last):
        for member in members:
            if len(members) == 1:
                nets[member] -= sizes[number]
            else:
                shares[member].append(number)
    made = [Job(job.hill_bytes, net, job.parts, tuple(own)) for job, net, own in zip(jobs, nets, shares, strict=True)]
    shared = {number: sizes[number] for number, members in enumerate(last) if len(members) > 1}
    return JobProblem(made, after, shared, base_bytes)
