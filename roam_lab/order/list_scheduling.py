"""List scheduling: always run the ready op that a key ranks first; several keys, the best order kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heappush

from roam_lab.ir import Graph, Order
from roam_lab.order.problem import Problem, problem_of
from roam_lab.registry import strategy

Key = Callable[[int, int, int], tuple[int, ...]]
"""(bytes that the op would allocate now, bytes that it would free, its rank) -> sort key, least first."""

KEYS: dict[str, Key] = {
    "net": lambda allocated, freed, rank: (allocated - freed, rank),
    "allocated": lambda allocated, freed, rank: (allocated, allocated - freed, rank),
    "free first": lambda allocated, freed, rank: (allocated >= freed > 0 or not freed, allocated - freed, rank),
    "shrink, else in turn": lambda allocated, freed, rank: (0 if freed >= allocated else 1, rank),
}


def schedule(problem: Problem, key: Key, rank: Sequence[int]) -> list[int]:
    """One pass of list scheduling in O((ops + uses + dependences) log ops); `rank` breaks ties.

    What an op allocates and frees changes while others run: it allocates a storage only if it is the first
    to use it, and frees it only when no other user is left. Stale heap entries are skipped when they surface.
    """
    count = len(problem)
    sizes, uses, users, kept = problem.sizes, problem.uses, problem.users, problem.kept
    alive = list(problem.given)
    left = [len(group) for group in users]
    last = [sum(group) for group in users]  # the one user left, once `left` is 1
    allocated, freed = [0] * count, [0] * count
    for op in range(count):
        for storage in uses[op]:
            if not alive[storage]:
                allocated[op] += sizes[storage]
            if left[storage] == 1 and not kept[storage]:
                freed[op] += sizes[storage]
    waiting = [len(before) for before in problem.after]
    done = [False] * count
    entry: list[tuple[int, ...] | None] = [None] * count
    heap: list[tuple[tuple[int, ...], int]] = []
    for op in range(count):
        if not waiting[op]:
            entry[op] = current = key(allocated[op], freed[op], rank[op])
            heap.append((current, op))
    heapify(heap)
    order: list[int] = []
    while heap:
        current, op = heappop(heap)
        if done[op] or entry[op] is not current:
            continue
        done[op] = True
        order.append(op)
        changed: set[int] = set()
        for storage in uses[op]:
            size = sizes[storage]
            if not alive[storage]:
                alive[storage] = True
                for user in users[storage]:
                    allocated[user] -= size
                    changed.add(user)
            left[storage] -= 1
            last[storage] -= op
            if left[storage] == 1 and not kept[storage]:
                freed[last[storage]] += size
                changed.add(last[storage])
        for follower in problem.followers[op]:
            waiting[follower] -= 1
            if not waiting[follower]:
                changed.add(follower)
        for other in changed:
            if not waiting[other] and not done[other]:
                entry[other] = current = key(allocated[other], freed[other], rank[other])
                heappush(heap, (current, other))
    return order


def passes(problem: Problem) -> Iterator[list[int]]:
    """An order for each of KEYS, forwards and then backwards in time; ties go to captured order."""
    count = len(problem)
    forwards, backwards = range(count), range(0, -count, -1)
    for key in KEYS.values():
        yield schedule(problem, key, forwards)
    mirror = problem.reversed()
    for key in KEYS.values():
        yield schedule(mirror, key, backwards)[::-1]


def best_pass(problem: Problem) -> list[int]:
    """The pass with the least peak; ties go to the earlier."""
    orders = list(passes(problem))
    peaks = [problem.peak(order) for order in orders]
    return orders[peaks.index(min(peaks))]


@strategy("order", "list", source="list scheduling; keys as in XLA's list scheduler and lescea (ROAM, section 2)")
def list_scheduling(graph: Graph) -> Order:
    """List scheduling by several keys, forwards and backwards in time; the order with the least peak.

    Runs in a fraction of a second; ties go to the earlier key. Sees one op ahead only.
    """
    problem = problem_of(graph)
    return tuple(best_pass(problem))
