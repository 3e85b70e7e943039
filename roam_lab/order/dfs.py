"""Depth first by bytes, as PyTorch Inductor orders a compiled graph."""

from __future__ import annotations

from roam_lab.ir import Graph, Order
from roam_lab.registry import strategy


@strategy("order", "dfs", source="PyTorch Inductor, torch/_inductor/memory.py: topological_sort_dfs")
def dfs(graph: Graph) -> Order:
    """Depth first: ops, and what each depends on, visited in ascending bytes read and written; post-order.

    Bytes of an op are those of the storages that it creates and touches; ties go to captured order.
    """
    moved = [sum(graph.storages[storage].bytes for storage in uses) for uses in graph.uses]

    def ascending(ops: range | tuple[int, ...]) -> list[int]:
        return sorted(set(ops), key=lambda op: (moved[op], op))

    seen: set[int] = set()
    order: list[int] = []
    for root in ascending(range(len(graph.ops))):
        path = [(root, iter(ascending(graph.ops[root].after)))] if root not in seen else []
        seen.add(root)
        while path:
            op, dependencies = path[-1]
            for dependency in dependencies:
                if dependency not in seen:
                    seen.add(dependency)
                    path.append((dependency, iter(ascending(graph.ops[dependency].after))))
                    break
            else:
                order.append(op)
                path.pop()
    return tuple(order)
