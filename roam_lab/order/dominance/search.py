"""Exact search over the states of a job problem: over the least hill to a state that holds no more, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush

from roam_lab.order.effort import Effort, SpentError
from roam_lab.order.reduce.jobs import JobProblem
from roam_lab.order.reduce.precedence import bits
from roam_lab.order.reduce.states import States


@dataclass(frozen=True, slots=True)
class Found:
    """A run of jobs that leads from one state to another no higher, over a hill of `hill_bytes`."""

    done: int
    run: list[int]
    hill_bytes: int


def lower_state(
    states: States, done: int, within: int, effort: Effort, floor_bytes: int = 0, cap_bytes: int | None = None
) -> Found | int:
    """The way from state `done` over the least hill to a state no higher, inside `within`, or to all of `within`.

    Hills up to `floor_bytes` above the start count as equal; ways over a hill above `cap_bytes` are not taken, and if
    that leaves none, the least of those hills is returned. States are visited by the hill they took, the lowest first.
    A job that ends no higher, over no higher a hill than was climbed already, is run at once: no order is worse for it.
    Raises SpentError.
    """
    ready = sum(1 << job for job in bits(within & ~done) if not states.needs[job] & ~done)
    state, held, ready, run = _closed(states, (done, 0, ready), ready, floor_bytes, within, effort)
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
        if effort.work <= 0 or (not visits & 63 and effort.late):
            raise SpentError
        for job in bits(ready):
            effort.work -= 1
            hill, net = states.effect(state, job)
            over = max(level, held + hill)
            if cap_bytes is not None and over > cap_bytes:
                blocked = min(blocked, over)
                continue
            open_ = _ready(states, state | 1 << job, ready, job, within)
            # What could not be run at once before can be now only if there is more room, or if it shares with `job`.
            fresh = open_ if over > level or net < 0 else open_ & (~ready | states.peers[job])
            after = state | 1 << job, held + net, open_
            closed, lower, open_, run = _closed(states, after, fresh, over, within, effort)
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


def _ready(states: States, state: int, ready: int, job: int, within: int) -> int:
    """The jobs that can run in `state`, which `job` led to from one where those of `ready` could."""
    ready ^= 1 << job
    for other in states.followers[job]:
        if within >> other & 1 and not states.needs[other] & ~state:
            ready |= 1 << other
    return ready


def _closed(
    states: States, place: tuple[int, int, int], fresh: int, level: int, within: int, effort: Effort
) -> tuple[int, int, int, list[int]]:
    """Run every job (those in `fresh` first) that ends no higher over a hill of at most `level`, again and again."""
    state, held, ready = place
    run: list[int] = []
    while fresh:
        effort.work -= 1
        job = (fresh & -fresh).bit_length() - 1
        fresh &= fresh - 1
        hill, net = states.effect(state, job)
        if net <= 0 and held + hill <= level:
            state |= 1 << job
            held += net
            before, ready = ready, _ready(states, state, ready, job, within)
            run.append(job)
            fresh = ready if net < 0 else (fresh | ~before | states.peers[job]) & ready
    return state, held, ready, run


def descend(states: States, within: int, effort: Effort, cap_bytes: int | None = None) -> list[int] | int:
    """Jobs that lead from the start to the state `within`; raises SpentError.

    They go over the least hill to a state no higher than the present one, and on from there. That makes no order worse:
    the state found is as low as any between the two, since the way to a lower one would have been visited before (the
    bytes that a set of jobs holds are a submodular function). With `cap_bytes`, any hill up to that will do; if all
    ways are higher, the least hill (above the start) that every way has is returned.
    """
    done = held = 0
    run: list[int] = []
    while done != within:
        if cap_bytes is None:
            found = lower_state(states, done, within, effort)
        else:
            found = lower_state(states, done, within, effort, cap_bytes - held, cap_bytes - held)
        if not isinstance(found, Found):
            return found + held
        for job in found.run:
            held += states.effect(done, job)[1]
            done |= 1 << job
        run += found.run
    return run


def dominant_run(jobs: JobProblem, effort: Effort) -> list[int]:
    """The jobs of `jobs` in a dominant schedule, exactly; raises SpentError.

    The lowest state of all splits the jobs in two. Towards it time runs forwards, and backwards from the end.
    """
    everything = (1 << len(jobs)) - 1
    forwards, backwards = States(jobs), States(jobs, backwards=True)
    valley = forwards.lowest(0, everything)
    there = descend(forwards, valley, effort)
    back = descend(backwards, everything & ~valley, effort)
    assert not isinstance(there, int)  # no cap was given
    assert not isinstance(back, int)
    return there + back[::-1]
