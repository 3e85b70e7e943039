"""The nouns of a training step: storages and the operators that create and touch them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from roam_lab.errors import FormatError

MOST_BYTES = 2**60
"""Of all storages together: sums of sizes stay exact in 64 bits."""


@dataclass(frozen=True, slots=True)
class Storage:
    """One buffer; all views of it are this one storage.

    `output` keeps it alive to the end of the step. `external` says that the runtime cannot choose its
    address (its op has no `out=`): the op allocates it, and plans account for it in a region of its own.
    """

    bytes: int
    output: bool = False
    kind: str | None = None
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    external: bool = False


@dataclass(frozen=True, slots=True)
class Op:
    """One operator; its index in `Graph.ops` is its identity.

    `after`: every op that must run before it (data, anti- and output dependences, random-number order).
    `creates`: storages it allocates. `touches`: other non-resident storages it reads, writes or views. `call`: the
    multi-tensor call that it is a part of; neighbours of one call are run as one.
    """

    name: str
    target: str
    after: tuple[int, ...] = ()
    creates: tuple[int, ...] = ()
    touches: tuple[int, ...] = ()
    phase: str | None = None
    module: str | None = None
    source: str | None = None
    flops: int | None = None
    time_us: float | None = None
    pointwise: bool | None = None
    random: bool | None = None
    call: int | None = None


@dataclass(frozen=True)
class Graph:
    """A whole training step. `ops` stand in captured order, which is a legal order.

    `resident_bytes`: parameters, buffers, optimizer state and batch: always there, outside the arena. `environment`:
    what it was captured with (torch, device, batch, model), empty where that is not known; two graphs are equal
    whatever it says.
    Raises FormatError, naming the op and the key, when the parts do not fit together.
    """

    name: str
    storages: tuple[Storage, ...]
    ops: tuple[Op, ...]
    resident_bytes: int = 0
    environment: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        _check_graph(self)

    def __repr__(self) -> str:
        return f"Graph({self.name!r}, {len(self.ops)} ops, {len(self.storages)} storages)"

    @cached_property
    def followers(self) -> tuple[tuple[int, ...], ...]:
        """For each op, the ops that name it in their `after`."""
        lists: list[list[int]] = [[] for _ in self.ops]
        for index, op in enumerate(self.ops):
            for before in op.after:
                lists[before].append(index)
        return tuple(map(tuple, lists))

    @cached_property
    def creator(self) -> tuple[int | None, ...]:
        """For each storage, the op that creates it (None: never created, so it takes no place)."""
        made: list[int | None] = [None] * len(self.storages)
        for index, op in enumerate(self.ops):
            for storage in op.creates:
                made[storage] = index
        return tuple(made)

    @cached_property
    def users(self) -> tuple[tuple[int, ...], ...]:
        """For each storage, its creator and every op that touches it, in captured order."""
        lists: list[list[int]] = [[] for _ in self.storages]
        for index, op in enumerate(self.ops):
            for storage in {*op.creates, *op.touches}:
                lists[storage].append(index)
        return tuple(map(tuple, lists))


def _indices(graph: Graph, index: int, key: str, values: Iterable[int], limit: int) -> None:
    for value in values:
        if not 0 <= value < limit:
            op = graph.ops[index]
            raise FormatError(
                f"op {index} ({op.name}): {key} names {value}, outside 0..{limit - 1}; check the graph's indices"
            )


def _check_graph(graph: Graph) -> None:
    if graph.resident_bytes < 0:
        raise FormatError(f"resident_bytes is {graph.resident_bytes}; sizes are never negative")
    for number, storage in enumerate(graph.storages):
        if storage.bytes < 0:
            raise FormatError(f"storage {number}: bytes is {storage.bytes}; sizes are never negative")
    total = sum(storage.bytes for storage in graph.storages)
    if total > MOST_BYTES:
        raise FormatError(f"storages take {total} bytes, more than {MOST_BYTES} together; check the sizes' unit")
    created: set[int] = set()
    for index, op in enumerate(graph.ops):
        _indices(graph, index, "after", op.after, len(graph.ops))
        _indices(graph, index, "creates", op.creates, len(graph.storages))
        _indices(graph, index, "touches", op.touches, len(graph.storages))
        for before in op.after:
            if before >= index:
                raise FormatError(_backward_edge(graph, index, before))
        for storage_id in op.creates:
            if storage_id in created:
                raise FormatError(
                    f"op {index} ({op.name}): creates names storage {storage_id}, which an earlier op created"
                )
            created.add(storage_id)
        for storage_id in op.touches:
            if storage_id not in created:
                raise FormatError(
                    f"op {index} ({op.name}): touches names storage {storage_id} before any op created it"
                )


def _backward_edge(graph: Graph, index: int, before: int) -> str:
    """Tell a true cycle from ops that merely stand out of order."""
    seen, stack = set(), [before]
    while stack:
        current = stack.pop()
        if current == index:
            return (
                f"op {index} ({graph.ops[index].name}): after names op {before}, which itself must follow op "
                f"{index}: a cycle; remove one of the two dependences"
            )
        if current not in seen and 0 <= current < len(graph.ops):
            seen.add(current)
            stack.extend(graph.ops[current].after)
    return (
        f"op {index} ({graph.ops[index].name}): after names op {before}, which stands later; ops must stand in a "
        "legal order, so sort them"
    )
