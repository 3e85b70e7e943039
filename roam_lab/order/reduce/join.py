"""Jobs joined to a neighbour, or taken out, where the best moment of one does not depend on the others."""

from __future__ import annotations

from collections.abc import Iterable

from roam_lab.order.effort import Effort
from roam_lab.order.reduce.jobs import Job, JobProblem, job_problem, ops_of
from roam_lab.order.reduce.precedence import bits

SPREAD = 256
"""Most dependences that taking out one job may add."""


def joined(jobs: JobProblem, effort: Effort, most_ops: int | None = None) -> tuple[JobProblem, set[int]]:
    """A smaller problem with the same least peak, and the ops that were taken out, to run as soon as they can.

    - A job that allocates nothing can only free: nothing is lost by running it as soon as it can. Whatever
      waits for it waits for those that it waits for instead, and they free together what it would free.
    - A job that waits for one other only, ends no higher and stays under that one's hill, runs right after it.
    - A job that only one other waits for, starts no higher and stays under that one's hill, runs right before it.

    Repeated until nothing changes: what is joined makes other dependences implied. No job of more than `most_ops` ops
    is made. Raises SpentError at the deadline.
    """
    taken_out: set[int] = set()
    while True:
        count = len(jobs)
        joining = _Joining(jobs, most_ops)
        jobs = joining.run(effort)
        taken_out |= joining.taken_out
        if len(jobs) == count:
            return jobs, taken_out


class _Joining:
    """Jobs while they are joined: each goes by the number of one of those that it holds."""

    def __init__(self, jobs: JobProblem, most_ops: int | None) -> None:
        self.gone = [False] * len(jobs)
        self.parts = [job.parts for job in jobs]
        self.hills = [job.hill_bytes for job in jobs]
        self.nets = [job.net_bytes for job in jobs]
        self.before = [set(others) for others in jobs.before]
        self.behind: list[set[int]] = [set() for _ in self.gone]
        for number, others in enumerate(self.before):
            for other in others:
                self.behind[other].add(number)
        self.groups = {storage: set(bits(group)) for storage, group in jobs.sharers.items()}
        self.sizes = dict(jobs.shared_bytes)
        self.spare = max(self.sizes, default=-1) + 1  # a number for the next shared storage
        self.shares = [set(job.shares) for job in jobs]
        self.taken_out: set[int] = set()
        self.base_bytes = jobs.base_bytes
        self.most_ops = most_ops
        self.ops = [len(ops_of([job])) if most_ops else 0 for job in jobs]

    def run(self, effort: Effort) -> JobProblem:
        waiting = list(range(len(self.gone)))[::-1]
        tried = 0
        while waiting:
            number = waiting.pop()
            tried += 1
            if not tried & 1023:
                effort.check()
            if self.gone[number]:
                continue
            near = self.before[number] | self.behind[number]
            if self._take_out(number) or self._join_near(number):
                waiting += sorted(near, reverse=True)
        left = [number for number, gone in enumerate(self.gone) if not gone]
        place = {number: at for at, number in enumerate(left)}
        jobs = [Job(self.hills[number], self.nets[number], self.parts[number]) for number in left]
        before = [[place[other] for other in self.before[number]] for number in left]
        groups = [sorted(place[member] for member in group) for _, group in sorted(self.groups.items())]
        sizes = [size for _, size in sorted(self.sizes.items())]
        return job_problem(jobs, before, groups, sizes, self.base_bytes, effort)

    def _take_out(self, number: int) -> bool:
        before, behind = self.before[number], self.behind[number]
        if self.nets[number] and not before:
            return False  # it frees a storage that is given, which is alive until it runs
        if self.hills[number] or len(before) * len(behind) > max(SPREAD, len(before) + len(behind)):
            return False
        self._remove(number)
        for other in before:
            self.behind[other] |= behind
        for other in behind:
            self.before[other] |= before
        if self.nets[number]:
            own, self.spare = self.spare, self.spare + 1
            self.sizes[own], self.groups[own] = -self.nets[number], {number}
            self.shares[number].add(own)
        for storage in sorted(self.shares[number]):
            self._share(storage, number, before)
        self.taken_out.update(ops_of([Job(0, 0, self.parts[number])]))
        return True

    def _share(self, storage: int, number: int, others: Iterable[int]) -> None:
        """Let `others` share in the place of `number`; a group of one becomes part of its job."""
        group = self.groups[storage]
        group.discard(number)
        group.update(others)
        for other in others:
            self.shares[other].add(storage)
        if len(group) < 2:
            for other in group:
                self.nets[other] -= self.sizes[storage]
                self.shares[other].discard(storage)
            del self.groups[storage], self.sizes[storage]

    def _join_near(self, number: int) -> bool:
        hills, nets = self.hills, self.nets
        if len(self.before[number]) == 1:
            (other,) = self.before[number]
            if nets[number] <= 0 and nets[other] + hills[number] <= hills[other] and self._fits(number, other):
                self._join(other, number, other)
                return True
        if len(self.behind[number]) == 1 and not self.shares[number]:
            (other,) = self.behind[number]
            if nets[number] >= 0 and hills[number] <= nets[number] + hills[other] and self._fits(number, other):
                self._join(number, other, other)
                return True
        return False

    def _fits(self, one: int, other: int) -> bool:
        return self.most_ops is None or self.ops[one] + self.ops[other] <= self.most_ops

    def _join(self, first: int, second: int, kept: int) -> None:
        """Run `second` right after `first`, as the job `kept`."""
        gone = first if kept == second else second
        self.ops[kept] += self.ops[gone]
        self.hills[kept] = max(self.hills[first], self.nets[first] + self.hills[second])
        self.nets[kept] = self.nets[first] + self.nets[second]
        before, behind = self.before[gone] - {kept}, self.behind[gone] - {kept}
        self._remove(gone)
        for near in before:
            self.behind[near].add(kept)
        for near in behind:
            self.before[near].add(kept)
        self.before[kept] |= before
        self.behind[kept] |= behind
        self.parts[kept] = (*self.parts[first], *self.parts[second])
        for storage in sorted(self.shares[gone]):
            self._share(storage, gone, [kept])

    def _remove(self, number: int) -> None:
        self.gone[number] = True
        for other in self.before[number]:
            self.behind[other].discard(number)
        for other in self.behind[number]:
            self.before[other].discard(number)
