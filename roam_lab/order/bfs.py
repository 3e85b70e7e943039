"""First in, first out, as PyTorch Inductor orders a compiled graph."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from roam_lab.ir import Graph, Order
from roam_lab.registry import strategy


@strategy("order", "bfs", source="PyTorch Inductor, torch/_inductor/memory.py: topological_sort_bfs")
def bfs(graph: Graph) -> Order:
    """Breadth first: the ready op whose predecessors ran earliest, so that storages wait briefly for their readers.

    Ready ops rank by the sorted positions at which their predecessors ran, compared one by one, then by captured
    order. The creator of every storage that an op touches counts as a predecessor, as in Inductor.
    """
    made_by = graph.creator
    before = [
        {*op.after, *(creator for s in op.touches if (creator := made_by[s]) is not None)} - {index}
        for index, op in enumerate(graph.ops)
    ]
    waiting = [len(op.after) for op in graph.ops]
    position = [0] * len(graph.ops)
    ready: list[tuple[list[int], int]] = [([], op) for op, count in enumerate(waiting) if not count]
    heapify(ready)
    order: list[int] = []
    while ready:
        _, op = heappop(ready)
        position[op] = len(order)
        order.append(op)
        for follower in graph.followers[op]:
            waiting[follower] -= 1
            if not waiting[follower]:
                heappush(ready, (sorted(position[other] for other in before[follower]), follower))
    return tuple(order)
