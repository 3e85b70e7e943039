"""Blocks: ops that may run as one without costing any order a byte, so that less is left to schedule."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from roam_lab.order.problem import Problem

NEAR = 64
"""How many blocks are looked through to learn whether one precedes another; if it does not show, they stay apart."""

SECONDS_AN_OP = 1e-4
"""What joining takes, generously: where less time is left, it is left out."""

EXTRA_EDGES = 8
"""How many more dependences taking an op out may cost than it saves."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """A problem whose ops are blocks, in a legal order, and the ops that each block runs without a break.

    `op_of` of `problem` numbers the blocks; `ops` holds, for each, ops of the problem before. Ops that use no storage
    cost nothing wherever they run: they are in no block, and `expand` runs them where they are needed.
    """

    whole: Problem
    problem: Problem
    ops: Sequence[Sequence[int]]

    def expand(self, groups: Iterable[Sequence[int]]) -> list[list[int]]:
        """For each group of blocks, run one after the other, the ops that run.

        An op outside blocks runs just before the first op that needs it; one that none needs runs as soon as it can.
        """
        after, followers = self.whole.after, self.whole.followers
        in_block = [False] * len(self.whole)
        for ops in self.ops:
            for op in ops:
                in_block[op] = True
        needed = list(in_block)
        for op in range(len(self.whole) - 1, -1, -1):
            needed[op] = needed[op] or any(needed[other] for other in followers[op])
        waiting = [len(before) for before in after]
        done = [False] * len(self.whole)
        idle = [op for op in range(len(self.whole)) if not needed[op] and not waiting[op]]
        found: list[list[int]] = []

        def run(op: int, out: list[int]) -> None:
            stack = [op]
            while stack:
                current = stack[-1]
                missing = [before for before in after[current] if not done[before]]
                if missing:
                    stack += reversed(missing)
                    continue
                stack.pop()
                if done[current]:
                    continue
                done[current] = True
                out.append(current)
                for other in followers[current]:
                    waiting[other] -= 1
                    if not waiting[other] and not needed[other]:
                        stack.append(other)

        for group in groups:
            out: list[int] = []
            for op in idle:
                run(op, out)
            idle = []
            for block in group:
                for op in self.ops[block]:
                    run(op, out)
            found.append(out)
        if idle:
            found.append(idle)
        return found


@dataclass(slots=True)
class _Weaver:
    """The problem while blocks grow. A block goes by the op that it began as; positions are a legal order."""

    before: list[set[int]]
    behind: list[set[int]]
    uses: list[set[int]]
    users: list[set[int]]
    creator: list[int]
    kept: Sequence[bool]
    ops: list[list[int]]
    gone: set[int] = field(default_factory=set)

    def take_out(self, op: int) -> None:
        """Leave out an op that uses no storage, unless that would take many dependences."""
        before, behind = self.before[op], self.behind[op]
        if len(before) * len(behind) > len(before) + len(behind) + EXTRA_EDGES:
            return
        for early in before:
            self.behind[early].discard(op)
            self.behind[early] |= behind
        for late in behind:
            self.before[late].discard(op)
            self.before[late] |= before
        self.gone.add(op)

    def join(self, op: int, other: int, ahead: bool) -> None:
        """Let `op` run right after `other` (`ahead`: right before it); its other neighbours are implied."""
        self.gone.add(op)
        for early in self.before[op]:
            self.behind[early].discard(op)
        for late in self.behind[op]:
            self.before[late].discard(op)
        if ahead:
            self.ops[other] = self.ops[op] + self.ops[other]
            for early in self.before[op]:
                self.behind[early].add(other)
            self.before[other] |= self.before[op]
        else:
            self.ops[other] = self.ops[other] + self.ops[op]
            for late in self.behind[op]:
                self.before[late].add(other)
            self.behind[other] |= self.behind[op]
        for storage in self.uses[op]:
            self.users[storage].discard(op)
            self.users[storage].add(other)
            if self.creator[storage] == op:
                self.creator[storage] = other
        self.uses[other] |= self.uses[op]

    def join_before(self, op: int) -> bool:
        """Join `op` to the last of those it follows if it creates nothing: run at once, it can only free sooner."""
        before = self.before[op]
        if not before or any(self.creator[storage] == op for storage in self.uses[op]):
            return False
        last = max(before)
        if not _all_near(self.before, last, before - {last}, min(before)):
            return False
        self.join(op, last, ahead=False)
        return True

    def join_behind(self, op: int) -> bool:
        """Join `op` to the first of those that follow it if it frees nothing: run late, it can only create later."""
        behind = self.behind[op]
        if not behind:
            return False
        first = min(behind)
        if not _all_near(self.behind, first, behind - {first}, max(behind)):
            return False
        for storage in self.uses[op]:
            others = self.users[storage] - {op}
            if not (self.kept[storage] or first in others):
                later = {user for user in others if user > first}
                if not any(_all_near(self.behind, first, {user}, user) for user in sorted(later)[:2]):
                    return False
        self.join(op, first, ahead=True)
        return True


def _all_near(edges: Sequence[set[int]], start: int, wanted: set[int], farthest: int) -> bool:
    """Whether all `wanted` are reached from `start`, none beyond position `farthest`, as far as NEAR blocks show."""
    missing = wanted - edges[start]
    seen, stack = {start}, [start]
    low, high = min(start, farthest), max(start, farthest)
    while missing and stack and len(seen) < NEAR:
        for other in edges[stack.pop()]:
            if low <= other <= high and other not in seen:
                seen.add(other)
                missing.discard(other)
                stack.append(other)
    return not missing


def blocks_of(problem: Problem, ends: float | None = None) -> Blocks:
    """Join ops into blocks where that costs no order a byte; `problem`'s ops stand in a legal order.

    Nothing is joined where `ends` (time.perf_counter) leaves too little time for it.

    - An op that creates nothing runs right after the last op that it follows, if that one is the same in every order.
    - The mirror image: an op that is never the last user of a storage runs right before the first that follows it.
    - An op without storages runs anywhere.
    The optimum of the joined problem is that of the whole.
    """
    if ends is not None and len(problem) * SECONDS_AN_OP > ends - time.perf_counter():
        return Blocks(problem, problem, [[op] for op in range(len(problem))])
    count = len(problem)
    weaver = _Weaver(
        before=[set(group) for group in problem.after],
        behind=[set(group) for group in problem.followers],
        uses=[set(group) for group in problem.uses],
        users=[set(group) for group in problem.users],
        creator=[-1 if given else users[0] for users, given in zip(problem.users, problem.given, strict=True)],
        kept=problem.kept,
        ops=[[op] for op in range(count)],
    )
    for op in range(count):
        if not weaver.uses[op]:
            weaver.take_out(op)
    changed = True
    while changed:
        changed = False
        for op in range(count):
            changed |= op not in weaver.gone and weaver.join_before(op)
        for op in range(count - 1, -1, -1):
            changed |= op not in weaver.gone and weaver.join_behind(op)
    return Blocks(problem, _as_problem(weaver, problem), [weaver.ops[op] for op in _left(weaver)])


def _left(weaver: _Weaver) -> list[int]:
    return [op for op in range(len(weaver.ops)) if op not in weaver.gone]


def _as_problem(weaver: _Weaver, problem: Problem) -> Problem:
    left = _left(weaver)
    number = {op: index for index, op in enumerate(left)}
    users = []
    for storage, group in enumerate(weaver.users):
        creator = weaver.creator[storage]
        rest = sorted(number[op] for op in group if op != creator)
        users.append(rest if creator < 0 else [number[creator], *rest])
    return Problem(
        after=[sorted(number[other] for other in weaver.before[op]) for op in left],
        followers=[sorted(number[other] for other in weaver.behind[op]) for op in left],
        uses=[sorted(weaver.uses[op]) for op in left],
        users=users,
        sizes=problem.sizes,
        given=problem.given,
        kept=problem.kept,
        op_of=range(len(left)),
        storage_of=range(len(problem.sizes)),
        base_bytes=problem.base_bytes,
    )
