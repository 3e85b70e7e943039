"""PyTorch Inductor's own orders of our graphs: its functions, run on stand-ins for its scheduler's nodes.

Each storage becomes a buffer with its touchers as successors. Inductor knows no bare dependence between nodes, so
each op also puts out one buffer without bytes that its followers in `after` wait for (what Inductor calls a fake
weak dependence: it orders, and keeps nothing alive). Nothing is a graph input: what is resident lies outside
our arena, as what cannot be freed lies outside Inductor's count. Sizes are as ours: not rounded.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

from roam_lab.ir import Graph, Order

NAMES = ("lpmf", "bfs", "dfs")


@dataclass(eq=False)
class Buffer:
    """As much of a SchedulerBuffer as the sorts look at."""

    name: str
    mpi_buffer: Any

    def get_name(self) -> str:
        return self.name


@dataclass(frozen=True)
class Dependence:
    """A dependence is a buffer's name."""

    name: str


@dataclass(eq=False)
class Node:
    """As much of a BaseSchedulerNode as the sorts look at."""

    op: int
    outputs: list[Buffer] = field(default_factory=list)
    unmet_dependencies: list[Dependence] = field(default_factory=list)
    mpi_node: Any = None

    def get_outputs(self) -> list[Buffer]:
        return self.outputs

    def get_buffer_names(self) -> list[str]:
        return [buffer.name for buffer in self.outputs]


def available() -> bool:
    """Whether this torch has the three sorts."""
    try:
        from torch._inductor import memory
    except ImportError:
        return False
    return all(hasattr(memory, f"topological_sort_{name}") for name in NAMES)


def inductor_orders(graph: Graph) -> dict[str, Order]:
    """The orders "lpmf", "bfs" and "dfs" that torch's own functions give for `graph`."""
    from torch._inductor import memory
    from torch.utils._ordered_set import OrderedSet

    nodes = [Node(op) for op in range(len(graph.ops))]
    buffers: dict[str, Buffer] = {}

    def put_out(creator: int, name: str, size: int, readers: list[int], followers: list[int]) -> None:
        info = memory.MemoryPlanningInfoForBuffer(
            size_alloc=size,
            size_free=size,
            succ_nodes=OrderedSet(nodes[op] for op in readers),
            succ_nodes_for_ordering=OrderedSet(nodes[op] for op in followers),
        )
        buffers[name] = Buffer(name, info)
        nodes[creator].outputs.append(buffers[name])

    for storage, creator in enumerate(graph.creator):
        if creator is not None:
            readers = [op for op in graph.users[storage] if op != creator]
            put_out(creator, f"storage_{storage}", graph.storages[storage].bytes, readers, readers)
    for index, op in enumerate(graph.ops):
        put_out(index, f"after_{index}", 0, [], list(graph.followers[index]))
        nodes[index].unmet_dependencies = [Dependence(f"after_{before}") for before in op.after]
    memory.assign_memory_planning_info_for_scheduler_nodes(nodes, {}, buffers, {})

    outputs = OrderedSet(f"storage_{s}" for s, info in enumerate(graph.storages) if info.output)
    deepest, sys_limit = 4 * len(nodes) + 1000, sys.getrecursionlimit()
    sys.setrecursionlimit(max(deepest, sys_limit))  # Inductor's depth-first sort calls itself
    try:
        found = {
            "lpmf": memory.topological_sort_lpmf(nodes, {}, buffers, outputs),
            "bfs": memory.topological_sort_bfs(nodes),
            "dfs": memory.topological_sort_dfs(nodes),
        }
    finally:
        sys.setrecursionlimit(sys_limit)
    return {name: tuple(node.op for node in order) for name, order in found.items()}
