"""Folding: jobs whose best moment is known whatever else runs, joined to it or taken out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from roam_lab.order.dominance.block import Block, shared_block
from roam_lab.order.dominance.precedence import bits, check
from roam_lab.order.dominance.profile import Job, ops_of
from roam_lab.order.problem import Problem

SPREAD = 256
"""Most dependences that taking out one job may add."""


def folded(block: Block, deadline: float | None = None) -> tuple[Block, set[int]]:
    """A smaller block with the same least peak, and the ops that were taken out, to run as soon as they can.

    - A job that allocates nothing can only free: nothing is lost by running it as soon as it can. Whatever
      waits for it waits for those that it waits for instead, and they free together what it would free.
    - A job that waits for one other only, ends no higher and stays under that one's hill, runs right after it.
    - A job that only one other waits for, starts no higher and stays under that one's hill, runs right before it.

    Raises OutOfTimeError.
    """
    return _Fold(block).run(deadline)


class _Fold:
    def __init__(self, block: Block) -> None:
        self.gone = [False] * len(block)
        self.parts = [job.parts for job in block.jobs]
        self.hills = [job.hill_bytes for job in block.jobs]
        self.nets = [job.net_bytes for job in block.jobs]
        self.before = [set(others) for others in block.before]
        self.behind: list[set[int]] = [set() for _ in self.gone]
        for number, others in enumerate(self.before):
            for other in others:
                self.behind[other].add(number)
        self.groups = {storage: set(bits(group)) for storage, group in block.sharers.items()}
        self.sizes = dict(block.shared_bytes)
        self.spare = max(self.sizes, default=-1) + 1  # a number for the next shared storage
        self.shares = [set(job.shares) for job in block.jobs]
        self.eager: set[int] = set()

    def run(self, deadline: float | None) -> tuple[Block, set[int]]:
        waiting = list(range(len(self.gone)))[::-1]
        tried = 0
        while waiting:
            number = waiting.pop()
            tried += 1
            if not tried & 1023:
                check(deadline)
            if self.gone[number]:
                continue
            near = self.before[number] | self.behind[number]
            if self._take_out(number) or self._fold(number):
                waiting += sorted(near, reverse=True)
        left = [number for number, gone in enumerate(self.gone) if not gone]
        place = {number: at for at, number in enumerate(left)}
        jobs = [Job(self.hills[number], self.nets[number], self.parts[number]) for number in left]
        before = [[place[other] for other in self.before[number]] for number in left]
        groups = [sorted(place[member] for member in group) for _, group in sorted(self.groups.items())]
        sizes = [size for _, size in sorted(self.sizes.items())]
        return shared_block(jobs, before, groups, sizes, deadline), self.eager

    def _take_out(self, number: int) -> bool:
        before, behind = self.before[number], self.behind[number]
        if self.hills[number] or len(before) * len(behind) > max(SPREAD, len(before) + len(behind)):
            return False
        self._remove(number)
        for other in before:
            self.behind[other] |= behind
        for other in behind:
            self.before[other] |= before
        if self.nets[number] and before:
            own, self.spare = self.spare, self.spare + 1
            self.sizes[own], self.groups[own] = -self.nets[number], {number}
            self.shares[number].add(own)
        for storage in sorted(self.shares[number]):
            self._share(storage, number, before)
        self.eager.update(ops_of([Job(0, 0, self.parts[number])]))
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

    def _fold(self, number: int) -> bool:
        if len(self.before[number]) == 1:
            (other,) = self.before[number]
            if self.nets[number] <= 0 and self.nets[other] + self.hills[number] <= self.hills[other]:
                self._join(other, number, other)
                return True
        if len(self.behind[number]) == 1 and not self.shares[number]:
            (other,) = self.behind[number]
            if self.nets[number] >= 0 and self.hills[number] <= self.nets[number] + self.hills[other]:
                self._join(number, other, other)
                return True
        return False

    def _join(self, first: int, second: int, kept: int) -> None:
        """Run `second` right after `first`, as the job `kept`."""
        gone = first if kept == second else second
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


def with_eager(problem: Problem, order: Sequence[int], eager: set[int]) -> list[int]:
    """The order with the ops in `eager`, which it lacks, put in as soon as all they follow have run."""
    before = [set(others) for others in problem.after]
    for storage, users in enumerate(problem.users):
        if not problem.given[storage]:
            for user in users[1:]:
                before[user].add(users[0])
    waiting = [len(others) for others in before]
    behind: list[list[int]] = [[] for _ in before]
    for op, others in enumerate(before):
        for other in sorted(others):
            behind[other].append(op)
    full: list[int] = []
    stack = sorted((op for op in eager if not waiting[op]), reverse=True)
    for op in (-1, *order):
        if op >= 0:
            stack.append(op)
        while stack:
            ran = stack.pop()
            full.append(ran)
            for follower in reversed(behind[ran]):
                waiting[follower] -= 1
                if not waiting[follower] and follower in eager:
                    stack.append(follower)
    return full
