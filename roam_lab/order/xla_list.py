"""The list schedule of XLA, the compiler of JAX and TensorFlow."""

from __future__ import annotations

from heapq import heappop, heappush

from roam_lab.ir import Graph, Order, Storage
from roam_lab.registry import strategy

SCALAR_BYTES = 8
"""What one element takes at most: how a storage of unknown shape is told to be a scalar."""


@strategy("order", "xla_list", source="XLA, hlo_memory_scheduler.cc: ListScheduler")
def xla_list(graph: Graph) -> Order:
    """XLA's list scheduling: scalars first, then the ready op that frees most net bytes, then the one most used.

    Ranks ready ops by (bytes freed - bytes defined), then by how many ops use what they define; among equals the last
    one that became ready (or whose rank changed last) runs, as XLA's queue has it. A storage that nobody but its
    creator uses counts as defined, not as freed. XLA ranks values, each written once; a storage may be written again.
    This is the list alone: XLA itself keeps the best of list, depth-first and post-order by simulating its heap.
    """
    ops, storages, users = graph.ops, graph.storages, graph.users
    touches = [sorted({*uses}.difference(op.creates)) for op, uses in zip(ops, graph.uses, strict=True)]
    left = [len(group) - (graph.creator[storage] is not None) for storage, group in enumerate(users)]
    defined = [sum(storages[storage].bytes for storage in op.creates) for op in ops]
    used_by = [len({user for storage in op.creates for user in users[storage]} - {i}) for i, op in enumerate(ops)]
    scalar = [bool(op.creates) and all(_is_scalar(storages[storage]) for storage in op.creates) for op in ops]

    def rank(op: int) -> tuple[int, int, int]:
        """Least first."""
        if scalar[op]:
            return 0, 0, 0
        freed = sum(storages[s].bytes for s in touches[op] if left[s] == 1 and not storages[s].output)
        return 1, defined[op] - freed, -used_by[op]

    entered = 0
    entry: dict[int, tuple[tuple[int, int, int], int, int]] = {}
    queue: list[tuple[tuple[int, int, int], int, int]] = []

    def enter(op: int) -> None:
        nonlocal entered
        entered -= 1
        entry[op] = (rank(op), entered, op)
        heappush(queue, entry[op])

    waiting = [len(op.after) for op in ops]
    for op, count in enumerate(waiting):
        if not count:
            enter(op)
    order: list[int] = []
    while queue:
        current = heappop(queue)
        op = current[2]
        if entry.get(op) is not current:  # it has run, or its rank has changed
            continue
        del entry[op]
        order.append(op)
        for storage in touches[op]:
            left[storage] -= 1
        for follower in graph.followers[op]:
            waiting[follower] -= 1
            if not waiting[follower]:
                enter(follower)
        for storage in touches[op]:
            for user in users[storage] if left[storage] == 1 else ():
                if user in entry and entry[user][0] != rank(user):
                    enter(user)
    return tuple(order)


def _is_scalar(storage: Storage) -> bool:
    if storage.shape is None:
        return storage.bytes <= SCALAR_BYTES
    return all(extent == 1 for extent in storage.shape)
