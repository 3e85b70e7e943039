"""Exact search over the states of a block: the least hill that leads to a valley as low as where one stands."""

from __future__ import annotations

import time
from dataclasses import dataclass
from heapq import heappop, heappush

from roam_lab.order.dominance.block import Block, View
from roam_lab.order.dominance.precedence import bits


@dataclass(slots=True)
class Effort:
    """What searching may still spend: steps tried, counted so that the same input gives the same schedule.

    `deadline`: when to stop whatever the count (time.perf_counter; None: no limit).
    """

    steps: int
    deadline: float | None = None
    given: int = 0

    def slice(self, steps: int) -> Effort:
        """A part of it, `steps` at most, to be spent apart."""
        most = min(steps, self.steps)
        return Effort(most, self.deadline, most)

    @property
    def spent(self) -> int:
        """What was spent of a slice."""
        return self.given - self.steps

    @property
    def late(self) -> bool:
        """Whether the deadline has struck."""
        return self.deadline is not None and time.perf_counter() >= self.deadline

    @property
    def seconds(self) -> float | None:
        """Time left until the deadline."""
        return None if self.deadline is None else max(self.deadline - time.perf_counter(), 0.0)

    @property
    def left(self) -> bool:
        """Whether there is anything left to spend."""
        return self.steps > 0 and not self.late


class SpentError(Exception):
    """The effort ran out before the search ended."""


@dataclass(frozen=True, slots=True)
class Found:
    """A run of jobs that leads from one state to another no higher, over a hill of `hill_bytes`."""

    done: int
    run: list[int]
    hill_bytes: int


def reach(
    view: View, done: int, within: int, effort: Effort, floor_bytes: int = 0, cap_bytes: int | None = None
) -> Found | int:
    """The way from state `done` over the least hill to a state no higher, inside `within`, or to all of `within`.

    Hills up to `floor_bytes` above the start count as equal; ways over a hill above `cap_bytes` are not taken, and if
    that leaves none, the least of those hills is returned. States are visited by the hill they took, the lowest first.
    A job that ends no higher over no higher a hill than was already climbed is run at once: that hurts no order. Raises
    SpentError.
    """
    ready = sum(1 << job for job in bits(within & ~done) if not view.needs[job] & ~done)
    state, held, ready, run = _closed(view, (done, 0, ready), ready, floor_bytes, within, effort)
    parents = {state: (floor_bytes, done, run)}
    heap = [(floor_bytes, held, 0, state, ready)]
    blocked = 2**62
    visits = 0
    while heap:
        level, held, _, state, ready = heappop(heap)
        if level > parents[state][0]:
            continue
        if state == within or (held <= 0 and state != done):
            return Found(state, _way(parents, done, state), level)
        visits += 1
        if effort.steps <= 0 or (not visits & 63 and effort.late):
            raise SpentError
        for job in bits(ready):
            effort.steps -= 1
            hill, net = view.step(state, job)
            over = max(level, held + hill)
            if cap_bytes is not None and over > cap_bytes:
                blocked = min(blocked, over)
                continue
            open_ = _ready(view, state | 1 << job, ready, job, within)
            # What could not be run at once before can be now only if there is more room, or it shares with this job.
            fresh = open_ if over > level or net < 0 else open_ & (~ready | view.peers[job])
            after = state | 1 << job, held + net, open_
            closed, lower, open_, run = _closed(view, after, fresh, over, within, effort)
            known = parents.get(closed)
            if known is None or over < known[0]:
                parents[closed] = (over, state, [job, *run])
                heappush(heap, (over, lower, visits, closed, open_))
    return blocked


def _way(parents: dict[int, tuple[int, int, list[int]]], start: int, state: int) -> list[int]:
    jobs: list[int] = []
    while True:
        _, state, run = parents[state]
        jobs += reversed(run)
        if state == start:
            return jobs[::-1]


def _ready(view: View, state: int, ready: int, job: int, within: int) -> int:
    """The jobs that can run in `state`, which `job` led to from one where those of `ready` could."""
    ready ^= 1 << job
    for other in view.followers[job]:
        if within >> other & 1 and not view.needs[other] & ~state:
            ready |= 1 << other
    return ready


def _closed(
    view: View, place: tuple[int, int, int], fresh: int, level: int, within: int, effort: Effort
) -> tuple[int, int, int, list[int]]:
    """Run every job (those in `fresh` first) that ends no higher over a hill of at most `level`, again and again."""
    state, held, ready = place
    run: list[int] = []
    while fresh:
        effort.steps -= 1
        job = (fresh & -fresh).bit_length() - 1
        fresh &= fresh - 1
        hill, net = view.step(state, job)
        if net <= 0 and held + hill <= level:
            state |= 1 << job
            held += net
            before, ready = ready, _ready(view, state, ready, job, within)
            run.append(job)
            fresh = ready if net < 0 else (fresh | ~before | view.peers[job]) & ready
    return state, held, ready, run


def descend(view: View, within: int, effort: Effort, cap_bytes: int | None = None) -> list[int] | int:
    """Jobs that lead from the start to the state `within`; raises SpentError.

    Always over the least hill to a state no higher than the present one, and on from there. That hurts no order: the
    state found is as low as any between the two, since the way to a lower one would have been visited before (what a
    set of jobs holds is submodular). With `cap_bytes`, over any hill up to that; if all ways are higher, the least
    hill (above the start) that none avoids.
    """
    done = held = 0
    run: list[int] = []
    while done != within:
        if cap_bytes is None:
            found = reach(view, done, within, effort)
        else:
            found = reach(view, done, within, effort, cap_bytes - held, cap_bytes - held)
        if not isinstance(found, Found):
            return found + held
        for job in found.run:
            held += view.step(done, job)[1]
            done |= 1 << job
        run += found.run
    return run


def dominant_run(block: Block, effort: Effort) -> list[int]:
    """The jobs of `block` in a dominant schedule, exactly; raises SpentError.

    The lowest state of all splits the block in two. Towards it time runs forwards, and backwards from the end.
    """
    everything = (1 << len(block)) - 1
    forwards, backwards = View(block), View(block, backwards=True)
    valley = forwards.lowest(0, everything)
    there = descend(forwards, valley, effort)
    back = descend(backwards, everything & ~valley, effort)
    assert not isinstance(there, int)  # no cap was given
    assert not isinstance(back, int)
    return there + back[::-1]
