"""Pumpkins: chains that share one storage. Their dominant schedule, by how far each has run when it is freed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from roam_lab.order.dominance.crossing import Crossing
from roam_lab.order.dominance.merge import merged
from roam_lab.order.dominance.profile import canonical
from roam_lab.order.effort import Effort
from roam_lab.order.reduce.jobs import Job, JobProblem, ops_of
from roam_lab.order.reduce.states import States

UNLIMITED = 2**62
"""Bytes: more than any order holds."""


@dataclass(frozen=True)
class Pumpkin:
    """Chains that run side by side and share one storage, or several storages with the same sharers."""

    jobs: JobProblem
    chains: Sequence[Sequence[int]]


def pumpkin_of(jobs: JobProblem) -> Pumpkin | None:
    """The jobs as a pumpkin with the same dominant schedules, if it is one.

    A storage that the last jobs of all chains share is left out: every order frees it at its very end.
    """
    chains: list[list[int]] = []
    chain_of: dict[int, list[int]] = {}
    for number, before in enumerate(jobs.before):
        if not before:
            chains.append([])
            chain_of[number] = chains[-1]
        elif len(before) == 1 and chain_of[before[0]][-1] == before[0]:
            chain_of[number] = chain_of[before[0]]
        else:
            return None
        chain_of[number].append(number)
    ends = sum(1 << chain[-1] for chain in chains)
    inner = {storage: group for storage, group in jobs.sharers.items() if group != ends}
    if len(set(inner.values())) > 1:
        return None
    own = [replace(job, shares=tuple(storage for storage in job.shares if storage in inner)) for job in jobs]
    sizes = {storage: jobs.shared_bytes[storage] for storage in inner}
    return Pumpkin(JobProblem(own, jobs.before, sizes), chains)


def pumpkin_run(pumpkin: Pumpkin, effort: Effort) -> list[int]:
    """The jobs of a pumpkin in a dominant schedule, exactly; raises SpentError.

    Like `dominant_run`, it goes over the least hill to a state no higher, again and again. That way is not searched job
    by job:

    - As long as the storage stays, the chains are independent. Then, if several chains together lead to a state no
      higher, one of them alone does so over no higher a hill (Liu 1987).
    - If the storage is freed on the way (with time reversed: allocated), the chains are independent before that moment
      and after it, and `Crossing` chooses how far each has run then. (At the moment itself, when the last sharer has
      just ended, no more is held than while it ran.) The way is cut off at its lowest state: that is reached over no
      higher a hill, and it costs no order of the rest (see `descend`).

    After a chain went on alone, no way across the moment has a lower hill than before: both together would have been
    such a way. So a lower limit that was proven for it stays valid. Once the storage has changed, independent chains
    are left. For d chains with k options each there are k^d choices, against 2^d in Jin et al. (arXiv 2312.13526), but
    few are ever tried.
    """
    jobs, chains = pumpkin.jobs, pumpkin.chains
    everything = (1 << len(jobs)) - 1
    valley = States(jobs).lowest(0, everything)
    there = _Descent(States(jobs), chains, valley).run(effort)
    back = _Descent(States(jobs, True), [chain[::-1] for chain in chains], everything & ~valley).run(effort)
    return there + back[::-1]


class _Descent:
    """The way from the start of a job problem to the state `within`, the lowest of all."""

    def __init__(self, states: States, chains: Sequence[Sequence[int]], within: int) -> None:
        self.states = states
        self.left = [[job for job in chain if within >> job & 1] for chain in chains]
        self.left = [chain for chain in self.left if chain]
        self.group = next(iter(states.jobs.sharers.values()), 0)
        self.size = sum(states.jobs.shared_bytes.values())
        self.done = 0
        self.within = within

    def run(self, effort: Effort) -> list[int]:
        """All jobs; raises SpentError."""
        run: list[int] = []
        held = 0
        most = 0  # bytes above the start: every way on which the storage changes has a hill of so much, or more
        while self._changes(self.within) and not self._changes(self.done):
            alone = self._alone()
            if alone is None or held + alone.hill_bytes > most:
                crossing = self._crossing()
                answer = crossing.solve(alone.hill_bytes if alone else UNLIMITED, effort)
                if isinstance(answer, int):
                    most = held + answer
                    continue
                way = self._cut(crossing, answer)
            else:
                way = ops_of([alone])
            run += way
            for job in way:
                held += self.states.effect(self.done, job)[1]
                self.done |= 1 << job
            self.left = [rest for chain in self.left if (rest := [job for job in chain if not self.done >> job & 1])]
        return run + ops_of(merged([canonical(self._jobs(chain)) for chain in self.left]))

    def _changes(self, done: int) -> bool:
        """Whether the storage has changed: forwards the last sharer frees it, backwards the first allocates it."""
        return bool(done & self.group) if self.states.backwards else self.group & ~done == 0

    def _jobs(self, chain: Sequence[int]) -> list[Job]:
        return [Job(self.states.hills[job], self.states.nets[job], (job,)) for job in chain]

    def _sharer(self, chain: Sequence[int]) -> int | None:
        """The place in the chain of the job that shares the storage."""
        return next((at for at, job in enumerate(chain) if self.group >> job & 1), None)

    def _alone(self) -> Job | None:
        """Jobs of one chain that lead over the least hill to a state no higher, as one job; None: no chain does."""
        waiting = sum(self._sharer(chain) is not None for chain in self.left)
        ways: list[Job] = []
        for chain in self.left:
            at = self._sharer(chain)
            closed = at is not None and (self.states.backwards or waiting == 1)
            ways += [job for job in canonical(self._jobs(chain[:at] if closed else chain))[:1] if job.net_bytes <= 0]
        return min(ways, key=lambda job: job.hill_bytes, default=None)

    def _crossing(self) -> Crossing:
        stands = []
        for chain in self.left:
            at = self._sharer(chain)
            if at is None:
                stands.append(range(len(chain) + 1))
            else:
                stands.append(range(at + 1) if self.states.backwards else range(at + 1, len(chain) + 1))
        stretches = [[(job.hill_bytes, job.net_bytes) for job in self._jobs(chain)] for chain in self.left]
        return Crossing(stretches, stands, self.size if self.states.backwards else -self.size)

    def _cut(self, crossing: Crossing, chosen: Sequence[int]) -> list[int]:
        way = [job for chain, first, last in crossing.way(chosen) for job in self.left[chain][first:last]]
        whole = self.done | sum(1 << job for job in way)
        lowest = self.states.lowest(self.done, whole)
        return [job for job in way if lowest >> job & 1] if lowest != self.done else way
