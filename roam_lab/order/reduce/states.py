"""The states that orders of jobs pass through, forwards or backwards in time: what is alive in each, and the lowest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from roam_lab.order.reduce.jobs import JobProblem
from roam_lab.order.reduce.precedence import bits
from roam_lab.solvers.flows import minimum_cut

_SOURCE, _SINK, _FREE = 0, 1, 2


@dataclass(frozen=True)
class States:
    """The sets of finished jobs, seen from the start or (`backwards`) with time reversed, from the end."""

    jobs: JobProblem
    backwards: bool = False

    @cached_property
    def hills(self) -> list[int]:
        """Most bytes alive during each job above those before it, apart from shared storages."""
        return [job.hill_bytes - (job.net_bytes if self.backwards else 0) for job in self.jobs]

    @cached_property
    def nets(self) -> list[int]:
        """Bytes alive after each job minus those before it, apart from shared storages."""
        return [-job.net_bytes if self.backwards else job.net_bytes for job in self.jobs]

    @cached_property
    def needs(self) -> list[int]:
        """For each job the set of those that must have run."""
        found = [0] * len(self.jobs)
        for number, others in enumerate(self.jobs.before):
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
        sharers, sizes = self.jobs.sharers, self.jobs.shared_bytes
        return [[(sharers[storage], sizes[storage]) for storage in job.shares] for job in self.jobs]

    @cached_property
    def peers(self) -> list[int]:
        """For each job the set of those that it shares a storage with."""
        found = [0] * len(self.groups)
        for job, own in enumerate(self.groups):
            for group, _ in own:
                found[job] |= group
        return found

    def effect(self, done: int, job: int) -> tuple[int, int]:
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

        Any order of these jobs can be made to pass through it without a higher peak, and it is reached over the least
        hill that leads to any state as low. (States are closed under `needs`, and the bytes that they hold are a
        submodular function, so it is found as a minimum cut.)
        """
        free = bits(within & ~done)
        node = {job: number for number, job in enumerate(free, _FREE)}
        count = _FREE + len(free)
        arcs: list[tuple[int, int, int]] = []
        unlimited = 1 + sum(abs(self.nets[job]) for job in free) + sum(self.jobs.shared_bytes.values())
        for job in free:
            net = self.nets[job]
            arcs.append((node[job], _SINK, net) if net > 0 else (_SOURCE, node[job], -net))
            arcs += [(node[job], node[other], unlimited) for other in bits(self.needs[job] & ~done)]
        for storage, group in self.jobs.sharers.items():
            size = self.jobs.shared_bytes[storage]
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
