"""Graphs for the exact searches: chains alike, and chains of ops with few neighbours."""

from __future__ import annotations

import random
from dataclasses import replace

from roam_lab.ir import Graph, Op, Storage


def narrow_graph(seed: int, count: int = 50, reach: int = 20) -> Graph:
    """`count` ops, each creating a storage and reading one or two of the last `reach` made."""
    draw = random.Random(seed)
    storages: list[Storage] = []
    ops: list[Op] = []
    for index in range(count):
        oldest = max(0, index - reach)
        reads = {draw.randrange(oldest, index) for _ in range(draw.choice((1, 1, 2))) if index}
        storages.append(Storage(draw.choice((1, 10, 64, 100, 500)), output=draw.random() < 0.03))
        ops.append(Op(f"op_{index}", "t", tuple(sorted(reads)), (index,), tuple(sorted(reads))))
    return Graph(f"narrow_{count}_{reach}_{seed}", tuple(storages), tuple(ops))


def in_turn(first: Graph, second: Graph) -> Graph:
    """`first`, an op that all of it precedes, then `second`."""
    ops, gate = list(first.ops), len(first.ops)
    storages = [replace(storage, output=False) for storage in first.storages]
    ops.append(Op("gate", "t", tuple(range(gate))))
    offset = len(storages)
    for op in second.ops:
        after = (gate, *(other + gate + 1 for other in op.after))
        ops.append(replace(op, after=after, creates=tuple(s + offset for s in op.creates),
                           reads=tuple(s + offset for s in op.touches)))  # fmt: skip
    return Graph(f"{first.name}_then_{second.name}", (*storages, *second.storages), tuple(ops))


def parallel(seed: int, chains: int, length: int) -> Graph:
    """Chains of one of two sorts between a source that all read and a sink that reads all ends."""
    draw = random.Random(seed)
    sorts = [[draw.choice((0, 3, 10, 40)) for _ in range(length)] for _ in range(2)]
    storages, ops, ends = [Storage(draw.choice((5, 30)))], [Op("source", "t", (), (0,))], []
    for _ in range(chains):
        last = 0
        for size in draw.choice(sorts):
            index = len(ops)
            ops.append(Op(f"op_{index}", "t", (last,), (index,), tuple(sorted({0, last}))))
            storages.append(Storage(size))
            last = index
        ends.append(last)
    ops.append(Op("sink", "t", tuple(ends), (), tuple(ends)))
    return Graph(f"parallel_{seed}", tuple(storages), tuple(ops))
