"""Weight updates put back by memory: at once where there is room under the peak, else later, where they fit best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from roam_lab.order.problem import Problem


def put_back(problem: Problem, run: Sequence[int], ops: Sequence[int], room_bytes: int) -> list[int]:
    """`run`, a legal order of some ops, with `ops` (in a legal order) put between them: a legal order of both.

    Op by op: right after the last op that it follows if no step then holds more than `room_bytes`, else after the
    first later op where that is so, else where the most that any step holds is least. An op that leaves more than it
    frees waits for the ops that follow it. (ROAM, weight updates; there whole updates are moved, here their
    ops: the half that consumes the gradient and the half that needs temporaries want different
    places.)
    """
    if not run:
        return list(ops)
    gaps = _Gaps(problem, run, ops)
    for op in ops:
        gaps.insert(op, room_bytes)
    order: list[int] = []
    for op, inserted in zip(run, gaps.ops, strict=True):
        order += [op, *inserted]
    return order


class _Gaps:
    """Live bytes of the steps of `run` and of the gaps behind them, while ops are put into the gaps.

    Gap g lies behind step g. `steps`: bytes while a step runs; `carried`: bytes alive from a gap's end to the next
    step; `inside`: the most bytes while an op in the gap runs. `ends`: the gap (or step) in which a storage is freed;
    -1: it is not yet created; a storage that waits for an op still to be put in lives at least until that op is ready.
    """

    def __init__(self, problem: Problem, run: Sequence[int], ops: Sequence[int]) -> None:
        self.problem = problem
        self.count = count = len(run)
        self.gap_of = [-1] * len(problem)
        for step, op in enumerate(run):
            self.gap_of[op] = step
        self.due: dict[int, int] = {}
        for op in reversed(ops):
            latest = (self.gap_of[late] - 1 if self.gap_of[late] >= 0 else self.due.get(late, count - 1)
                     for late in problem.followers[op])  # fmt: skip
            self.due[op] = min(latest, default=count - 1)
        self.ready = self._ready(ops)
        self.ops: list[list[int]] = [[] for _ in run]
        self.ends = [-1] * len(problem.sizes)
        self.steps, self.carried, self.inside = (np.full(count, problem.base_bytes, np.int64) for _ in range(3))
        for storage, users in enumerate(problem.users):
            steps = [self.gap_of[op] for op in users if self.gap_of[op] >= 0]
            if not steps and not problem.given[storage]:
                continue
            begin = 0 if problem.given[storage] else min(steps)
            waiting = [self.ready[op] for op in users if op in self.ready]
            self.ends[storage] = end = count if problem.kept[storage] else max([*steps, *waiting, begin])
            size = problem.sizes[storage]
            self.steps[begin : end + 1] += size
            self.carried[begin:end] += size
            self.inside[begin:end] += size

    def _ready(self, ops: Sequence[int]) -> dict[int, int]:
        """The gap from which each op may run; later where it leaves more than it frees: with what follows it."""
        problem = self.problem
        ready: dict[int, int] = {}
        for op in ops:
            ready[op] = max((max(self.gap_of[b], ready.get(b, 0)) for b in problem.after[op]), default=0)
        creator: dict[int, int] = {}
        for op in ops:
            for storage in problem.uses[op]:
                if not problem.given[storage] and all(self.gap_of[other] < 0 for other in problem.users[storage]):
                    creator.setdefault(storage, op)
        for op in reversed(ops):
            left = {storage for storage in problem.uses[op] if creator.get(storage) == op}
            alone = {storage for storage in left if len(problem.users[storage]) == 1 and not problem.kept[storage]}
            balance = sum(
                problem.sizes[storage] * (1 if storage in left else -1)
                for storage in problem.uses[op]
                if storage not in alone
            )
            waiting = [ready[other] for other in problem.followers[op] if other in ready]
            if waiting and balance > 0:
                ready[op] = max(ready[op], min(waiting))
        return {op: min(gap, self.due[op]) for op, gap in ready.items()}

    def insert(self, op: int, room_bytes: int) -> None:
        """Put `op`, whose predecessors are all in place, into the gap where it fits."""
        problem = self.problem
        due = self.due[op]
        ready = min(max([self.ready[op], *(self.gap_of[before] for before in problem.after[op])]), due)
        held = [storage for storage in problem.uses[op] if 0 <= self.ends[storage] < due]
        new = [storage for storage in problem.uses[op] if self.ends[storage] < 0]
        created = sum(problem.sizes[storage] for storage in new)
        begin = min([ready, *(self.ends[storage] for storage in held)])
        extra = np.zeros(due + 1 - begin, np.int64)  # bytes that waiting for `op` keeps alive
        for storage in held:
            extra[self.ends[storage] - begin :] += problem.sizes[storage]
        window = slice(begin, due + 1)
        waiting = extra > 0
        here = np.maximum(self.carried[window] + created + extra, waiting * (self.inside[window] + extra))
        passed = np.zeros(len(extra), np.int64)  # the most that a step in between holds, if `op` runs in this gap
        passed[1:] = np.maximum(self.steps[begin + 1 : due + 1], self.inside[begin:due]) + extra[:-1]
        passed[1:] *= waiting[:-1]
        cost = np.maximum(np.maximum.accumulate(passed), here)[ready - begin :]
        fits = np.flatnonzero(cost <= room_bytes)
        self._settle(op, ready + int(fits[0] if len(fits) else cost.argmin()), held, new)

    def _settle(self, op: int, gap: int, held: Sequence[int], new: Sequence[int]) -> None:
        problem = self.problem
        self.gap_of[op] = gap
        self.ops[gap].append(op)
        del self.ready[op]
        for storage in held:
            end = self.ends[storage]
            if end < gap:
                self.steps[end + 1 : gap + 1] += problem.sizes[storage]
                self.carried[end:gap] += problem.sizes[storage]
                self.inside[end : gap + 1] += problem.sizes[storage]
                self.ends[storage] = gap
        ending = sum(problem.sizes[storage] for storage in held if self.ends[storage] == gap)
        created = sum(problem.sizes[storage] for storage in new)
        self.inside[gap] = max(self.inside[gap], self.carried[gap] + ending + created)
        for storage in new:
            users = problem.users[storage]
            waiting = [max(self.ready.get(other, -1), self.gap_of[other]) for other in users]
            self.ends[storage] = end = self.count if problem.kept[storage] else max([gap, *waiting])
            self.steps[gap + 1 : end + 1] += problem.sizes[storage]
            self.carried[gap:end] += problem.sizes[storage]
            self.inside[gap + 1 : end] += problem.sizes[storage]
