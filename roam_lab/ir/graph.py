"""The nouns of a training step: storages and the operators that create, read and write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from roam_lab.errors import FormatError

MOST_BYTES = 2**60
"""The most bytes that all storages of a graph may have together, so that sums of sizes stay exact in 64 bits."""

Region = Literal["arena", "op", "resident", "host"]
REGIONS: tuple[Region, ...] = ("arena", "op", "resident", "host")


@dataclass(frozen=True, slots=True)
class Storage:
    """One buffer; all views of it are this one storage.

    `region` says where its memory comes from. "arena": the plan chooses its address. "op": its op allocates it, having
    no way to write into a given place (*external*); it is counted and placed like the others. "resident": parameters,
    buffers, optimizer state, batch; there before and after the step, beside the arena. "host": pinned host memory,
    which is not counted. `output`: it stays alive to the end of the step. `kind`: activation, gradient, temporary,
    workspace, output, recomputed, offloaded, ...; for figures and tables only.
    """

    bytes: int
    output: bool = False
    kind: str | None = None
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    region: Region = "arena"

    @property
    def external(self) -> bool:
        """Whether the op that creates it allocates it: the runtime cannot choose its address."""
        return self.region == "op"

    @property
    def always_there(self) -> bool:
        """Whether it is there before the step, or lies on the host: no op need create it, and no arena holds it."""
        return self.region in ("resident", "host")


@dataclass(frozen=True, slots=True)
class Op:
    """One call of an ATen operator; its index in `Graph.ops` identifies it.

    `name`: of its fx node; `target`: the operator, as "aten.mm.default". `after`: every op that must run before it
    (data, anti- and output dependences, sequence of random numbers). `creates`: storages that it allocates. `reads`:
    every other storage that it looks at, residents included, each once. `writes`: storages that it changes in place;
    those whose old contents it looks at are in `reads`, too. `pure`: run again on the same inputs it gives the same
    bits and changes nothing else; None: not known. `reuse`: pairs (created, read): the created storage may take the
    memory of the read one, which no later op needs. `rows`: the number of rows, where row i of every result depends on
    row i of the inputs alone, or on small inputs as a whole; None: no such op. `call`: number of the multi-tensor call
    that it is a part of; neighbours in an order with one number are run as one call. `phase`: "forward", "backward" or
    "update". `source`: the user's line, as "file:line".
    """

    name: str
    target: str
    after: tuple[int, ...] = ()
    creates: tuple[int, ...] = ()
    reads: tuple[int, ...] = ()
    phase: str | None = None
    module: str | None = None
    source: str | None = None
    flops: int | None = None
    time_us: float | None = None
    pointwise: bool | None = None
    random: bool | None = None
    call: int | None = None
    writes: tuple[int, ...] = ()
    pure: bool | None = None
    reuse: tuple[tuple[int, int], ...] = ()
    rows: int | None = None

    @property
    def touches(self) -> tuple[int, ...]:
        """The storages that it uses without creating them, each once, ascending."""
        return tuple(sorted({*self.reads, *self.writes}.difference(self.creates)))


@dataclass(frozen=True, slots=True)
class Device:
    """The rates by which ops on a device are costed. Rates are per second, `launch_us` is the time to launch one
    kernel.

    `fused_share`: the time of a fused chain as a fraction of the sum of its ops' times, at least (1.0 until a better
    one was measured on the device).
    """

    flops_per_s: float
    bytes_per_s: float
    launch_us: float
    cache_bytes: int
    host_bytes_per_s: float
    fused_share: float = 1.0


@dataclass(frozen=True)
class Graph:
    """A whole training step. `ops` stand in captured order, which is a legal order.

    `unlisted_resident_bytes`: resident bytes that are in none of `storages` (a `roam-graph/1` lists no residents).
    `times`: where the ops' times are from; `device`: the rates by which ops that a rewriting adds are costed.
    `environment`: what it was captured with (torch, device, batch, model), empty where that is not known.
    `eager_peak_bytes`: the live peak of the step as eager PyTorch runs it, tensors only, where a capture knows it. The
    last two take no part in the comparison of two graphs.
    Raises FormatError, naming the op and the key, when the parts do not fit together.
    """

    name: str
    storages: tuple[Storage, ...]
    ops: tuple[Op, ...]
    unlisted_resident_bytes: int = 0
    times: str | None = None
    device: Device | None = None
    environment: Mapping[str, str] = field(default_factory=dict, compare=False)
    eager_peak_bytes: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        _check_graph(self)

    def __repr__(self) -> str:
        made = sum(not storage.always_there for storage in self.storages)
        return f"Graph({self.name!r}, {len(self.ops)} ops, {made} storages)"

    @cached_property
    def resident_bytes(self) -> int:
        """Bytes of parameters, buffers, optimizer state and batch, which are always there, beside the arena."""
        listed = sum(storage.bytes for storage in self.storages if storage.region == "resident")
        return listed + self.unlisted_resident_bytes

    @cached_property
    def can_be_rewritten(self) -> bool:
        """Whether it says what every op reads, writes and repeats (`roam-graph/1` does not)."""
        return all(op.pure is not None for op in self.ops)

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
        """For each storage, the op that creates it; None for one that is always there, or that no op creates."""
        made: list[int | None] = [None] * len(self.storages)
        for index, op in enumerate(self.ops):
            for storage in op.creates:
                if not self.storages[storage].always_there:
                    made[storage] = index
        return tuple(made)

    @cached_property
    def uses(self) -> tuple[tuple[int, ...], ...]:
        """For each op, ascending, the storages that it creates or touches, without residents and those on the host."""
        made = self.creator
        return tuple(
            tuple(sorted(storage for storage in {*op.creates, *op.touches} if made[storage] is not None))
            for op in self.ops
        )

    @cached_property
    def users(self) -> tuple[tuple[int, ...], ...]:
        """For each storage, its creator and every op that touches it, in captured order; none for residents and
        storages on the host."""
        lists: list[list[int]] = [[] for _ in self.storages]
        for index, uses in enumerate(self.uses):
            for storage in uses:
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
    if graph.unlisted_resident_bytes < 0:
        raise FormatError(f"resident_bytes is {graph.unlisted_resident_bytes}; sizes are never negative")
    for number, storage in enumerate(graph.storages):
        if storage.bytes < 0:
            raise FormatError(f"storage {number}: bytes is {storage.bytes}; sizes are never negative")
        if storage.region not in REGIONS:
            raise FormatError(f"storage {number}: region is {storage.region!r}, not one of {', '.join(REGIONS)}")
    total = sum(storage.bytes for storage in graph.storages)
    if total > MOST_BYTES:
        raise FormatError(f"storages take {total} bytes, more than {MOST_BYTES} together; check the sizes' unit")
    created: set[int] = set()
    for index, op in enumerate(graph.ops):
        _indices(graph, index, "after", op.after, len(graph.ops))
        for key in ("creates", "reads", "writes"):
            _indices(graph, index, key, getattr(op, key), len(graph.storages))
        for before in op.after:
            if before >= index:
                raise FormatError(_backward_edge(graph, index, before))
        for storage_id in op.creates:
            if storage_id in created:
                raise FormatError(
                    f"op {index} ({op.name}): creates names storage {storage_id}, which an earlier op created"
                )
            if graph.storages[storage_id].region == "resident":
                raise FormatError(
                    f"op {index} ({op.name}): creates names storage {storage_id}, which is resident: always there"
                )
            created.add(storage_id)
        for key in ("reads", "writes"):
            for storage_id in getattr(op, key):
                if storage_id not in created and not graph.storages[storage_id].always_there:
                    raise FormatError(
                        f"op {index} ({op.name}): {key} names storage {storage_id} before any op created it"
                    )
        for pair in op.reuse:
            if pair[0] not in op.creates or pair[1] not in op.reads:
                raise FormatError(
                    f"op {index} ({op.name}): reuse pairs storages {pair[0]} and {pair[1]}; the first must be one that "
                    "it creates, the second one that it reads"
                )


def _backward_edge(graph: Graph, index: int, before: int) -> str:
    """The error text for an `after` that names a later op: a cycle, or ops that merely stand out of order."""
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
