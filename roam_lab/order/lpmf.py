"""Least peak memory first, as PyTorch Inductor orders a compiled graph."""

from __future__ import annotations

from heapq import heappop, heappush

from roam_lab.ir import Graph, Order
from roam_lab.order.problem import Problem, problem_of
from roam_lab.registry import strategy


@strategy("order", "lpmf", source="PyTorch Inductor, torch/_inductor/memory.py: topological_sort_lpmf")
def lpmf(graph: Graph) -> Order:
    """Least peak memory first: below the maximum so far the op that leaves least, else the one that allocates least.

    Keeps the most bytes alive so far, m, which starts at the bytes of the graph's outputs. A ready op fits if what it
    allocates is at most m - live bytes; of those that fit, the one with the least (allocated - freed) runs, and if none
    fits, the one that allocates least, then with the least (allocated - freed). Ties go to captured order. Inductor
    does this for each compiled graph apart, after fusion, where a mutation renames a buffer; here it sees
    the whole step, and all names of a buffer are one storage.
    """
    return tuple(least_peak_first(problem_of(graph)))


def least_peak_first(problem: Problem) -> list[int]:
    """The order of `lpmf`; storages that are given count as Inductor's freeable inputs."""
    sizes, uses, users = problem.sizes, problem.uses, problem.users
    allocates = [0] * len(problem)
    left = list(map(len, users))
    frees = [0] * len(problem)
    live = output = 0
    for storage, group in enumerate(users):
        size, kept = sizes[storage], problem.kept[storage]
        if problem.given[storage]:
            live += size
        else:
            allocates[group[0]] += size
            left[storage] -= 1  # its creator is not one of its readers
        if kept:
            output += size
        elif left[storage] <= 1:  # none but its creator, or one reader
            frees[group[-1]] += size
    most = max(live, output)

    waiting = list(map(len, problem.after))
    ready = _Ready()
    for start, count in enumerate(waiting):
        if not count:
            ready.add(start, allocates[start], frees[start])
    order: list[int] = []
    while (op := ready.take(most - live)) is not None:
        order.append(op)
        live += allocates[op]
        most = max(most, live)
        live -= frees[op]
        for follower in problem.followers[op]:
            waiting[follower] -= 1
            if not waiting[follower]:
                ready.add(follower, allocates[follower], frees[follower])
        for storage in uses[op]:
            if op == users[storage][0] and not problem.given[storage]:
                continue
            left[storage] -= 1
            if left[storage] == 1 and not problem.kept[storage]:
                for user in users[storage]:  # only the one that is left still matters
                    frees[user] += sizes[storage]
                    if user in ready:
                        ready.add(user, allocates[user], frees[user])
    return order


class _Ready:
    """Ready ops by what they allocate, each group a heap by (net bytes, op); old entries are skipped."""

    def __init__(self) -> None:
        self.groups: dict[int, list[tuple[int, int]]] = {}
        self.entry: dict[int, tuple[int, int]] = {}

    def __contains__(self, op: int) -> bool:
        return op in self.entry

    def add(self, op: int, allocated: int, freed: int) -> None:
        """Add `op`, or give it a new rank."""
        self.entry[op] = (allocated - freed, op)
        heappush(self.groups.setdefault(allocated, []), self.entry[op])

    def take(self, gap: int) -> int | None:
        """Remove and return the op that ranks first when `gap` bytes are left below the maximum (None: empty)."""
        first: tuple[int, tuple[int, int], int] | None = None
        for allocated, heap in list(self.groups.items()):
            while heap and self.entry.get(heap[0][1]) != heap[0]:
                heappop(heap)
            if not heap:
                del self.groups[allocated]
                continue
            rank = (allocated if allocated > gap else 0, heap[0], allocated)
            first = rank if first is None else min(first, rank)
        if first is None:
            return None
        op = heappop(self.groups[first[2]])[1]
        del self.entry[op]
        return op
