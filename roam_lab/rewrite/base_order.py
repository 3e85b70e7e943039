"""The order that rewriting starts from: the captured one, with neighbouring backward ops swapped where that lowers live
bytes, and with updates as early as they may run."""

from __future__ import annotations

from collections.abc import Sequence

from roam_lab.ir.graph import Graph
from roam_lab.ir.memory import Order

MOST_PASSES = 400


def base_order(graph: Graph) -> Order:
    """A legal order: the captured one with neighbouring backward ops swapped where that lowers the higher of the two
    steps, and each parameter's update (a connected group of ops of the phase "update") right after the last op that it
    depends on. The captured order where an update's result is used by other ops."""
    return _with_updates(graph, _swapped(graph, [op for op in range(len(graph.ops)) if not _updates(graph, op)]))


def with_early_updates(graph: Graph, order: Sequence[int]) -> Order:
    """`order` with each parameter's update as early as it may run: no gradient stays where rewriting has made room."""
    return _with_updates(graph, [op for op in order if not _updates(graph, op)])


def _updates(graph: Graph, op: int) -> bool:
    return graph.ops[op].phase == "update"


def _swapped(graph: Graph, order: Sequence[int]) -> list[int]:
    """Backward ops a, b become b, a where max(alloc b, net b + alloc a) < max(alloc a, net a + alloc b)."""
    run = list(order)
    size = [0 if storage.always_there else storage.bytes for storage in graph.storages]
    uses = [tuple({*op.creates, *op.touches}) for op in graph.ops]
    kept = {storage for storage, info in enumerate(graph.storages) if info.output}
    kept.update(storage for op in graph.ops if op.phase == "update" for storage in {*op.creates, *op.touches})
    last = {storage: step for step, op in enumerate(run) for storage in uses[op]}
    alloc = [sum(size[storage] for storage in op.creates) for op in graph.ops]
    before = [frozenset(op.after) for op in graph.ops]
    movable = [op.phase == "backward" for op in graph.ops]

    def freed(op: int, step: int, together: int) -> int:
        """Bytes of the storages that `op` uses and that no op uses after it; `together`: the neighbour that it may be
        swapped with, which does not count as a later op."""
        return sum(size[s] for s in uses[op] if s not in kept and last[s] <= step and s not in uses[together])

    for _ in range(MOST_PASSES):
        changed = False
        for step in range(len(run) - 1):
            a, b = run[step], run[step + 1]
            if not (movable[a] and movable[b]) or a in before[b]:
                continue
            now = max(alloc[a], alloc[a] - freed(a, step + 1, b) + alloc[b])
            then = max(alloc[b], alloc[b] - freed(b, step + 1, a) + alloc[a])
            if then < now:
                run[step], run[step + 1] = b, a
                for storage in {*uses[a], *uses[b]}:
                    if last[storage] in (step, step + 1):
                        last[storage] = step + 1 if storage in uses[a] else step
                changed = True
        if not changed:
            break
    return run


def _with_updates(graph: Graph, order: Sequence[int]) -> Order:
    """`order` with each connected group of updates, in captured sequence, right after the last op that it depends
    on."""
    updates = [op for op in range(len(graph.ops)) if _updates(graph, op)]
    group = {op: op for op in updates}

    def root(op: int) -> int:
        while group[op] != op:
            group[op] = group[group[op]]
            op = group[op]
        return op

    for op in updates:
        for before in graph.ops[op].after:
            if before in group:
                group[root(op)] = root(before)
    members: dict[int, list[int]] = {}
    for op in updates:
        members.setdefault(root(op), []).append(op)
    place = {op: step for step, op in enumerate(order)}
    behind: dict[int, list[int]] = {}
    for ops in members.values():
        waits = max((place[b] for op in ops for b in graph.ops[op].after if b in place), default=-1)
        awaited = min((place[f] for op in ops for f in graph.followers[op] if f in place), default=len(order))
        if waits >= awaited:
            return tuple(range(len(graph.ops)))  # what the updates leave is used again: keep the captured order
        behind.setdefault(waits, []).extend(ops)
    run: list[int] = []
    for step in range(-1, len(order)):
        run += [order[step]] if step >= 0 else []
        run += behind.get(step, [])
    return tuple(run)
