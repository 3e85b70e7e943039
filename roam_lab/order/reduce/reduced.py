"""The one reduced problem that orders are searched on, and the way from its orders back to those of the graph."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from roam_lab.order.effort import Effort
from roam_lab.order.problem import Problem
from roam_lab.order.reduce.jobs import JobProblem, job_problem, jobs_of, ops_of
from roam_lab.order.reduce.join import joined
from roam_lab.order.reduce.precedence import bits, followers_of, topological


@dataclass(frozen=True, eq=False)
class Reduced:
    """A problem with jobs in place of ops: far fewer, and the least peak of their orders is that of the whole.

    Ops `taken_out` are in no job: they only free, and run as soon as all that they follow have run.
    """

    whole: Problem
    jobs: JobProblem
    taken_out: frozenset[int] = frozenset()

    @property
    def problem(self) -> Problem:
        """The jobs as a problem: what a search needs to see."""
        return self.jobs.as_problem

    def order(self, run: Iterable[int]) -> list[int]:
        """The whole problem's ops in the sequence in which they run, for a run of all jobs."""
        return list(chain.from_iterable(self.expand([run])))

    def expand(self, groups: Iterable[Iterable[int]]) -> list[list[int]]:
        """For each group of jobs, one group after the other, the ops that run; peaks are those of the jobs or lower."""
        return with_taken_out(self.whole, (ops_of(self.jobs[job] for job in group) for group in groups), self.taken_out)

    def again(self, jobs: JobProblem, effort: Effort) -> Reduced:
        """The same whole with `jobs`, which hold the same ops, joined further. Raises SpentError at the deadline."""
        fewer, taken_out = joined(jobs, effort)
        return Reduced(self.whole, fewer, self.taken_out | taken_out)

    def with_precedences(self, pairs: Iterable[tuple[int, int]], effort: Effort) -> Reduced | None:
        """The same where the first job of each pair also precedes the second; None: the pairs contradict each other.

        Raises SpentError at the deadline.
        """
        before = list(map(set, self.jobs.before))
        for first, second in pairs:
            before[second].add(first)
        order = topological(before, followers_of(before))
        if len(order) < len(before):
            return None
        place = {job: at for at, job in enumerate(order)}
        shared = sorted(self.jobs.sharers.items())
        jobs = job_problem(
            [self.jobs[job] for job in order],
            [[place[other] for other in before[job]] for job in order],
            [sorted(place[job] for job in bits(group)) for _, group in shared],
            [self.jobs.shared_bytes[storage] for storage, _ in shared],
            self.jobs.base_bytes,
            effort,
        )
        return self.again(jobs, effort)


def reduced(problem: Problem, effort: Effort, most_ops: int | None = None) -> Reduced:
    """`problem`, its ops in a legal order, as few jobs, of up to `most_ops` ops each (None: any number).

    Raises SpentError at the deadline of `effort`.
    """
    jobs, taken_out = joined(jobs_of(problem, effort), effort, most_ops)
    return Reduced(problem, jobs, frozenset(taken_out))


def with_taken_out(problem: Problem, groups: Iterable[Sequence[int]], taken_out: Collection[int]) -> list[list[int]]:
    """The groups, one after the other a legal order of all other ops, and those `taken_out` as soon as they can run."""
    waiting = list(map(len, problem.before))
    behind = followers_of(problem.before)
    stack = sorted((op for op in taken_out if not waiting[op]), reverse=True)
    found: list[list[int]] = []
    for group in groups:
        ops: list[int] = []
        for op in (None, *group):  # first what waits for nothing
            if op is not None:
                stack.append(op)
            while stack:
                ops.append(stack.pop())
                for follower in reversed(behind[ops[-1]]):
                    waiting[follower] -= 1
                    if not waiting[follower] and follower in taken_out:
                        stack.append(follower)
        found.append(ops)
    return found
