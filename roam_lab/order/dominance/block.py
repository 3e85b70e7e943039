"""Blocks: jobs with dependences and shared storages, to be scheduled apart from everything else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from roam_lab.order.dominance.precedence import bits, reduced
from roam_lab.order.dominance.profile import Job
from roam_lab.order.problem import Problem
from roam_lab.solvers.flows import minimum_cut

_SOURCE, _SINK, _FREE = 0, 1, 2


@dataclass(frozen=True)
class Block:
    """Jobs in a legal order, `before[job]` naming jobs that must run earlier.

    `shared_bytes`: of each storage in the jobs' `shares`. Nobody else shares them. A set of jobs is an integer, one bit
    a job.
    """

    jobs: Sequence[Job]
    before: Sequence[Sequence[int]]
    shared_bytes: Mapping[int, int]

    def __len__(self) -> int:
        return len(self.jobs)

    @cached_property
    def sharers(self) -> dict[int, int]:
        """For each shared storage, the set of jobs that it waits for."""
        found: dict[int, int] = {}
        for number, job in enumerate(self.jobs):
            for storage in job.shares:
                found[storage] = found.get(storage, 0) | 1 << number
        return found

    def problem(self) -> Problem:
        """The block as a problem with a job for each op: the same orders with the same live bytes, but for a constant.

        A job that ends higher leaves a storage behind, one that ends lower takes one away, and what its hill adds
        is alive only while it runs.
        """
        uses: list[list[int]] = [[] for _ in self.jobs]
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

        for number, job in enumerate(self.jobs):
            add(abs(job.net_bytes), [number], job.net_bytes < 0, job.net_bytes > 0)
            add(job.hill_bytes - max(job.net_bytes, 0), [number], False, False)
        for storage, group in sorted(self.sharers.items()):
            add(self.shared_bytes[storage], bits(group), True, False)
        followers: list[list[int]] = [[] for _ in self.jobs]
        for number, others in enumerate(self.before):
            for other in others:
                followers[other].append(number)
        return Problem(
            after=self.before,
            followers=followers,
            uses=uses,
            users=users,
            sizes=sizes,
            given=given,
            kept=kept,
            op_of=range(len(self.jobs)),
            storage_of=range(len(users)),
            base_bytes=-sum(size for size, comes in zip(sizes, given, strict=True) if comes),
        )


def block_of(problem: Problem, deadline: float | None = None) -> Block:
    """A problem (its ops in a legal order) with every op a job. Raises OutOfTimeError.

    A storage is allocated by its creator, which every user follows. If one user must follow all others, it frees the
    storage; otherwise those that may be the last share it.
    """
    hills, nets = [0] * len(problem), [0] * len(problem)
    before = [set(others) for others in problem.after]
    groups: list[Sequence[int]] = []
    sizes: list[int] = []
    for storage, users in enumerate(problem.users):
        size, made = problem.sizes[storage], not problem.given[storage]
        if made:
            hills[users[0]] += size
            nets[users[0]] += size
            for user in users[1:]:
                before[user].add(users[0])
        if not problem.kept[storage]:
            groups.append(users[1:] if made and len(users) > 1 else users)
            sizes.append(size)
    jobs = [Job(hills[op], nets[op], (op,)) for op in range(len(problem))]
    return shared_block(jobs, before, groups, sizes, deadline)


def shared_block(
    jobs: Sequence[Job],
    before: Sequence[Iterable[int]],
    groups: Sequence[Sequence[int]],
    sizes: Sequence[int],
    deadline: float | None = None,
) -> Block:
    """Jobs (their own `shares` ignored) with groups that each free `sizes` bytes when all of it has run.

    Dependences that others imply, and members that others must follow, are dropped; a group of one becomes part
    of its job. Raises OutOfTimeError.
    """
    after, last = reduced(before, groups, deadline)
    nets = [job.net_bytes for job in jobs]
    shares: list[list[int]] = [[] for _ in jobs]
    for number, members in enumerate(last):
        for member in members:
            if len(members) == 1:
                nets[member] -= sizes[number]
            else:
                shares[member].append(number)
    made = [Job(job.hill_bytes, net, job.parts, tuple(own)) for job, net, own in zip(jobs, nets, shares, strict=True)]
    return Block(made, after, {number: sizes[number] for number, members in enumerate(last) if len(members) > 1})


@dataclass(frozen=True)
class View:
    """A block seen from its start, or (`backwards`) with time reversed from its end, for searching."""

    block: Block
    backwards: bool = False

    @cached_property
    def hills(self) -> list[int]:
        """Most bytes alive during each job above those before it, apart from shared storages."""
        return [job.hill_bytes - (job.net_bytes if self.backwards else 0) for job in self.block.jobs]

    @cached_property
    def nets(self) -> list[int]:
        """Bytes alive after each job minus those before it, apart from shared storages."""
        return [-job.net_bytes if self.backwards else job.net_bytes for job in self.block.jobs]

    @cached_property
    def needs(self) -> list[int]:
        """For each job the set of those that must have run."""
        found = [0] * len(self.block)
        for number, others in enumerate(self.block.before):
            for other in others:
                if self.backwards:
                    found[other] |= 1 << number
                else:
                    found[number] |= 1 << other
        return found

    @cached_property
    def followers(self) -> list[list[int]]:
        """For each job those that wait for it."""
        found: list[list[int]] = [[] for _ in self.needs]
        for number, need in enumerate(self.needs):
            for other in bits(need):
                found[other].append(number)
        return found

    @cached_property
    def groups(self) -> list[list[tuple[int, int]]]:
        """For each job its shared storages: the set of sharers, and bytes."""
        sharers, sizes = self.block.sharers, self.block.shared_bytes
        return [[(sharers[storage], sizes[storage]) for storage in job.shares] for job in self.block.jobs]

    @cached_property
    def peers(self) -> list[int]:
        """For each job the set of those that it shares a storage with."""
        found = [0] * len(self.groups)
        for job, own in enumerate(self.groups):
            for group, _ in own:
                found[job] |= group
        return found

    def step(self, done: int, job: int) -> tuple[int, int]:
        """What running `job` after the set `done` does: (hill, net) in bytes."""
        hill, net = self.hills[job], self.nets[job]
        for group, size in self.groups[job]:
            if self.backwards:
                if not done & group:
                    hill += size
                    net += size
            elif (done | 1 << job) & group == group:
                net -= size
        return hill, net

    def lowest(self, done: int, within: int) -> int:
        """Of all states from `done` to `within`, the smallest of those that hold the fewest bytes.

        No order of these jobs is hurt by being led through it, and it is reached over the least hill that leads to
        any state as low. (A state is closed under `needs`, and what it holds is submodular: a minimum cut.)
        """
        free = bits(within & ~done)
        node = {job: number for number, job in enumerate(free, _FREE)}
        count = _FREE + len(free)
        arcs: list[tuple[int, int, int]] = []
        unlimited = 1 + sum(abs(self.nets[job]) for job in free) + sum(self.block.shared_bytes.values())
        for job in free:
            net = self.nets[job]
            arcs.append((node[job], _SINK, net) if net > 0 else (_SOURCE, node[job], -net))
            arcs += [(node[job], node[other], unlimited) for other in bits(self.needs[job] & ~done)]
        for storage, group in self.block.sharers.items():
            size = self.block.shared_bytes[storage]
            members = [node[job] for job in bits(group & within & ~done)]
            if self.backwards and not group & done:
                arcs += [(member, count, unlimited) for member in members]
                arcs.append((count, _SINK, size))
            elif not self.backwards and members and group & ~within == 0:
                arcs += [(count, member, unlimited) for member in members]
                arcs.append((_SOURCE, count, size))
            count += 1
        columns = np.array(arcs, np.int64).reshape(-1, 3)
        inside = minimum_cut(columns[:, 0], columns[:, 1], columns[:, 2], count, _SOURCE, _SINK)
        return done | sum(1 << job for job in free if inside[node[job]])
