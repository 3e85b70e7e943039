"""Chains: neighbouring row-wise ops that can run as one fused op, a few rows at a time. Each becomes one
instruction."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from roam_lab.ir.graph import Graph

SMALL_BYTES = 2**20
"""An op that stands inside a chain without being part of it may run before the chain if it allocates no more bytes."""


def elements(graph: Graph, storage: int) -> int:
    """The number of elements of a storage; its bytes where the shape is not known."""
    shape = graph.storages[storage].shape
    return graph.storages[storage].bytes if shape is None else prod(shape)


def chain_classes(graph: Graph) -> list[tuple[int, int] | None]:
    """For each op (rows, elements of its largest result), or None where it cannot be a part of a chain.

    Ops of one class can be fused: the values that pass between them have as many elements as each one's result, so they
    are read row by row. A storage that an op changes in place must have that many elements, too; one that it only reads
    may be smaller, as small inputs are read whole.
    """
    classes: list[tuple[int, int] | None] = []
    for op in graph.ops:
        sizes = [elements(graph, storage) for storage in (*op.creates, *op.writes)]
        alike = all(elements(graph, storage) == max(sizes) for storage in op.writes)
        if op.rows is not None and not op.random and (op.pure or op.writes) and sizes and alike:
            classes.append((op.rows, max(sizes)))
        else:
            classes.append(None)
    return classes


def instructions(graph: Graph, order: Sequence[int], classes: Sequence[tuple[int, int] | None]) -> list[list[int]]:
    """The ops of `order` in groups that run as one: connected runs of one class, small independent ops before them."""
    done: list[list[int]] = []
    chain: list[int] = []
    arena: set[int] = set()
    for op in order:
        info = graph.ops[op]
        planned = {s for s in (*info.creates, *info.touches) if not graph.storages[s].always_there}
        if chain:
            same = classes[op] is not None and classes[op] == classes[chain[0]]
            if same and (not arena or not planned or arena & planned):
                chain.append(op)
                arena |= planned
                continue
            small = sum(graph.storages[s].bytes for s in info.creates) <= SMALL_BYTES
            if small and not set(info.after) & set(chain) and not arena & planned:
                done.append([op])
                continue
            done.append(chain)
        chain, arena = [op], planned
        if classes[op] is None:
            done.append(chain)
            chain = []
    return [*done, chain] if chain else done
