"""Contraction: series-parallel parts of a problem solved inside out, each replaced by its hills and valleys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from roam_lab.order.dominance.merge import merged
from roam_lab.order.dominance.profile import canonical
from roam_lab.order.dominance.pumpkin import pumpkin_of, pumpkin_run
from roam_lab.order.dominance.search import dominant_run
from roam_lab.order.dominance.series_parallel import Quotient
from roam_lab.order.effort import Effort, SpentError
from roam_lab.order.reduce.jobs import Job, JobProblem

JOBS_LIMIT = 400
"""Jobs of a part that a search is tried on."""
STEPS_LIMIT = 20_000
"""Steps that the search of one part may try."""
SMALL_JOBS = 8
"""Jobs of a part that is searched at once, whatever its shape."""
PUMPKIN_STEPS = 500_000
"""Steps that a larger pumpkin may take."""


@dataclass(slots=True)
class Part:
    """Jobs (by number, in a legal order) of a part of the graph; `firsts` and `lasts` are its ends.

    `open`: how many sharers of each shared storage are in the part, while others are outside; a part without any
    is isolated: its other storages are freed at a known op in it, or live on in every order. `chain`: its jobs are one
    chain, a dominant schedule of it. `solved`: so is every isolated part inside it. `plain`: it has no branches.
    """

    jobs: list[int]
    firsts: list[int]
    lasts: list[int]
    open: Counter[int]
    chain: bool = True
    solved: bool = True
    plain: bool = True


@dataclass(frozen=True, slots=True)
class SolvedPart:
    """A part that was solved: `chain` is its dominant schedule."""

    chain: list[Job]
    shape: Literal["pumpkin", "series-parallel"]


@dataclass
class Contraction:
    """Jobs being contracted. `before` holds the dependences of jobs inside the same part only."""

    whole: JobProblem
    effort: Effort
    jobs: list[Job] = field(default_factory=list)
    before: list[list[int]] = field(default_factory=list)
    parts: dict[int, Part] = field(default_factory=dict)
    solved_parts: list[SolvedPart] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sharers = {storage: group.bit_count() for storage, group in self.whole.sharers.items()}
        self.quotient = Quotient(self.whole.before)
        for job in self.whole:
            number = self._add(job)
            self.parts[number] = Part([number], [number], [number], Counter(job.shares))

    def run(self) -> JobProblem:
        """Contract as far as possible. Returns the jobs that are left, in a legal order. Raises SpentError at the
        deadline."""
        self.quotient.reduce(self._series, self._parallel)
        return self.rest()

    @property
    def exact(self) -> bool:
        """Whether one solved chain is left: its order has the least peak of all."""
        return len(self.parts) <= 1 and all(part.chain and part.solved for part in self.parts.values())

    def rest(self) -> JobProblem:
        """The jobs of all parts that are left, in a legal order."""
        sequence = _legal(self.quotient)
        for node in sequence:
            self._tidy(self.parts[node])
        numbers = [job for node in sequence for job in self.parts[node].jobs]
        before = dict(zip(numbers, (list(self.before[job]) for job in numbers), strict=True))
        for node in sequence:
            for other in sorted(self.quotient.before[node]):
                for first in self.parts[node].firsts:
                    before[first] += self.parts[other].lasts
        return self._problem(numbers, before)

    def _add(self, job: Job, before: Iterable[int] = ()) -> int:
        self.jobs.append(job)
        self.before.append(list(before))
        return len(self.jobs) - 1

    def _problem(self, numbers: list[int], before: dict[int, list[int]] | None = None) -> JobProblem:
        place = {number: at for at, number in enumerate(numbers)}
        needs = self.before if before is None else before
        jobs = [self.jobs[number] for number in numbers]
        sizes = {storage: self.whole.shared_bytes[storage] for job in jobs for storage in job.shares}
        after = [[place[other] for other in needs[number]] for number in numbers]
        return JobProblem(jobs, after, sizes, self.whole.base_bytes)

    def _line(self, chain: list[Job], solved: bool = True) -> Part:
        """An isolated part of one chain."""
        numbers: list[int] = []
        for job in chain:
            numbers.append(self._add(job, numbers[-1:]))
        return Part(numbers, numbers[:1], numbers[-1:], Counter(), True, solved)

    def _series(self, nodes: list[int]) -> None:
        self.effort.check()
        parts = [self.parts.pop(node) for node in nodes]
        whole = parts[0]
        for part in parts[1:]:
            lasts = whole.lasts
            if len(lasts) > 1 and len(part.firsts) > 1:  # an empty job between them, not a dependence for every pair
                point = self._add(Job(0, 0, ()), lasts)
                whole.jobs.append(point)
                lasts = [point]
            for first in part.firsts:
                self.before[first] = list(lasts)
            whole.jobs += part.jobs
            whole.lasts = part.lasts
            whole.open += part.open
            whole.chain &= part.chain
            whole.plain &= part.plain
            whole.solved &= part.solved
        self.parts[nodes[0]] = whole

    def _parallel(self, nodes: list[int]) -> None:
        self.effort.check()
        parts = [self.parts.pop(node) for node in nodes]
        plain = all(len(part.firsts) == 1 and part.plain for part in parts)
        lines: list[Part] = []
        others: list[Part] = []
        for group in _linked(parts):
            whole = self._beside(group)
            for storage in [s for s, count in whole.open.items() if count == self.sharers[s]]:
                del whole.open[storage]
            if not whole.open and not whole.chain:
                whole = self._solve(whole)
            (others if whole.open or not whole.chain else lines).append(whole)
        if len(lines) > 1:
            chains = [[self.jobs[number] for number in line.jobs] for line in map(self._tidy, lines)]
            lines = [self._line(merged(chains), all(line.solved for line in lines))]
        whole = self._beside(lines + others)
        whole.plain = False
        self.parts[nodes[0]] = whole
        if whole.chain:
            chain = [self.jobs[number] for number in whole.jobs]
            self.solved_parts.append(SolvedPart(chain, "pumpkin" if plain else "series-parallel"))

    def _beside(self, parts: list[Part]) -> Part:
        """Parts side by side as one part, none of them solved anew."""
        if len(parts) == 1:
            return parts[0]
        whole = Part([], [], [], Counter(), False)
        for part in parts:
            self._tidy(part)
            whole.jobs += part.jobs
            whole.firsts += part.firsts
            whole.lasts += part.lasts
            whole.open += part.open
            whole.solved &= part.solved
        return whole

    def _solve(self, part: Part) -> Part:
        """An isolated part replaced by its dominant schedule, or left as it is if that takes too much effort."""
        if len(part.jobs) <= JOBS_LIMIT and part.solved and self.effort.left:
            own = self._problem(part.jobs)
            pumpkin = pumpkin_of(own) if len(own) > SMALL_JOBS else None
            with suppress(SpentError), self.effort.part(PUMPKIN_STEPS if pumpkin else STEPS_LIMIT) as effort:
                run = pumpkin_run(pumpkin, effort) if pumpkin else dominant_run(own, effort)
                return self._line(canonical(unshared(own, run)))
        part.solved = False
        return part

    def _tidy(self, part: Part) -> Part:
        """Join the chains of jobs inside a part that share no storage, each into its hills and valleys."""
        inside = set(part.jobs)
        followers = Counter(other for job in part.jobs for other in self.before[job] if other in inside)
        runs: list[list[int]] = []
        run_of: dict[int, list[int]] = {}
        for number in part.jobs:
            before = self.before[number]
            run = run_of.get(before[0]) if len(before) == 1 and not self.jobs[number].shares else None
            if run is None or run[-1] != before[0] or followers[before[0]] > 1 or self.jobs[before[0]].shares:
                run = []
                runs.append(run)
            run.append(number)
            run_of[number] = run
        if len(runs) == len(part.jobs):
            return part
        renamed: dict[int, int] = {}  # the last job of a run -> what took its place
        numbers: list[int] = []
        for run in runs:
            before = [renamed.get(other, other) for other in self.before[run[0]]]
            joined = canonical([self.jobs[number] for number in run]) if len(run) > 1 else []
            if len(joined) == len(run) or not joined:
                self.before[run[0]] = before
                numbers += run
                continue
            for job in joined:
                before = [self._add(job, before)]
                numbers.append(before[0])
            renamed[run[-1]] = before[0]
            renamed[~run[0]] = before[0] - len(joined) + 1
        part.jobs = numbers
        part.firsts = [renamed.get(~number, number) for number in part.firsts]
        part.lasts = [renamed.get(number, number) for number in part.lasts]
        return part


def unshared(jobs: JobProblem, run: Iterable[int]) -> list[Job]:
    """The jobs of a finished run without shared storages: the last job to share one frees it."""
    left = {storage: group.bit_count() for storage, group in jobs.sharers.items()}
    chain: list[Job] = []
    for number in run:
        job, net = jobs[number], jobs[number].net_bytes
        for storage in job.shares:
            left[storage] -= 1
            if not left[storage]:
                net -= jobs.shared_bytes[storage]
        chain.append(Job(job.hill_bytes, net, job.parts))
    return chain


def _linked(parts: list[Part]) -> list[list[Part]]:
    """The parts, grouped so that no two groups share a storage."""
    group_of = list(range(len(parts)))
    first_of: dict[int, int] = {}

    def root(number: int) -> int:
        while group_of[number] != number:
            group_of[number] = number = group_of[group_of[number]]
        return number

    for number, part in enumerate(parts):
        for storage in part.open:
            one, other = sorted((root(first_of.setdefault(storage, number)), root(number)))
            group_of[other] = one
    groups: dict[int, list[Part]] = {}
    for number, part in enumerate(parts):
        groups.setdefault(root(number), []).append(part)
    return [group for _, group in sorted(groups.items())]


def _legal(quotient: Quotient) -> list[int]:
    """The nodes in a legal order; ties go to the lower number."""
    waiting = {node: len(before) for node, before in quotient.before.items()}
    order = sorted(node for node, count in waiting.items() if not count)
    for node in order:
        for other in sorted(quotient.behind[node]):
            waiting[other] -= 1
            if not waiting[other]:
                order.append(other)
    return order
