"""Turning a traced step into a graph of storages and ops, with all dependences."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.fx import GraphModule, Node

from roam_lab.capture.flops import flops_of
from roam_lab.capture.inputs import Input
from roam_lab.capture.kinds import with_kinds
from roam_lab.capture.nodes import is_getitem, is_host, is_on, storage_key, tensors_of, written_arguments
from roam_lab.capture.provenance import CALL_KEY, META_KEY, Provenance
from roam_lab.capture.repeatable import draws_random, is_pure, updates_on_the_side
from roam_lab.capture.row_wise import reuse_of, rows_of
from roam_lab.capture.torch_internals import OpOverload
from roam_lab.capture.workspace import unreduced_bytes, workspace_bytes
from roam_lab.capture.writers import find_writer
from roam_lab.distributed.collectives import WAIT, starts_exchange
from roam_lab.errors import CaptureError, DataDependentError
from roam_lab.ir import Graph, Op, Storage

_POINTWISE = torch.Tag.pointwise
_KINDS = {"carried": "buffer"}
"""Kinds of inputs that are known under another name in graphs."""


@dataclass(frozen=True)
class Step:
    """The graph of a step, and how it corresponds to the traced nodes.

    `nodes`: the traced node of each op. `storage_of`: node -> storage indices of its tensor values (None: resident);
    views and arithmetic on Python numbers are nodes without an op. `resident`: kind -> bytes of each resident storage.
    """

    graph: Graph
    nodes: tuple[Node, ...]
    storage_of: dict[Node, tuple[int | None, ...]]
    resident: dict[str, tuple[int, ...]]


def is_view(node: Node, storage_of: dict[Node, tuple[Any, ...]]) -> bool:
    """Whether the results of a node all lie in storages of its arguments, so that it is a view and no op."""
    target = node.target
    if not isinstance(target, OpOverload) or target._schema.is_mutable:
        return False
    own = storage_of[node]
    seen = {storage for argument in node.all_input_nodes for storage in storage_of[argument]}
    return bool(own) and all(storage in seen for storage in own)


@dataclass
class _Builder:
    """Builds the graph in one walk through the traced nodes; a `key` identifies the storage of a fake tensor."""

    device: torch.device
    with_workspace: bool
    checks: dict[Node, tuple[Node, ...]]
    ops: list[Op] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    storages: list[dict[str, Any]] = field(default_factory=list)
    index_of: dict[int, int | None] = field(default_factory=dict)
    residents: dict[int, int] = field(default_factory=dict)
    keys_of: dict[Node, tuple[int, ...]] = field(default_factory=dict)
    last_writer: dict[int, int] = field(default_factory=dict)
    readers: dict[int, list[int]] = field(default_factory=dict)
    last_random: int | None = None
    exchanges: list[int] = field(default_factory=list)
    host_after: dict[Node, set[int]] = field(default_factory=dict)
    checking: list[int] = field(default_factory=list)
    maker: dict[int, int] = field(default_factory=dict)
    op_of: dict[Node, int] = field(default_factory=dict)

    def resident(self, node: Node, tensors: list[torch.Tensor]) -> None:
        self.keys_of[node] = tuple(storage_key(tensor) for tensor in tensors)
        for key in self.keys_of[node]:
            self.index_of.setdefault(key, None)

    def add(self, node: Node) -> None:
        tensors = tensors_of(node)
        self.keys_of[node] = keys = tuple(storage_key(tensor) for tensor in tensors)
        inputs = node.all_input_nodes
        waits = set().union(*(self.host_after.get(argument, set()) for argument in inputs))
        if is_host(node):
            self.host_after[node] = waits
            return
        if is_getitem(node) or is_view(node, self.keys_of):
            return
        here = len(self.ops)
        written = {key for argument in written_arguments(node) for key in self.keys_of[argument]}
        read = dict.fromkeys(key for argument in inputs for key in self.keys_of[argument])
        read |= dict.fromkeys(key for key in keys if key in self.index_of)
        created = [key for key in dict.fromkeys(keys) if key not in self.index_of]
        for key in read:
            if key in self.last_writer:
                waits.add(self.last_writer[key])
        for key in written:
            waits.update(self.readers.get(key, ()))
            if self.index_of.get(key, 0) is None:  # no resident is written before the conditions inside the step
                waits.update(self.checking)
        if node in self.checks:
            waits.update(self.op_of[other] for other in self.checks[node])
            self.checking.append(here)
        self.op_of[node] = here
        random = draws_random(node)
        if random:
            if self.last_random is not None:
                waits.add(self.last_random)
            self.last_random = here
        if starts_exchange(node.target):  # all ranks exchange in one sequence, whatever else they do between
            waits.update(self.exchanges[-1:])
            self.exchanges.append(here)
        if node.target is WAIT:  # one exchange goes on beside the ops that fill the next bucket
            own = next(self.exchanges.index(self.last_writer[key]) for key in keys)
            waits.update(self.exchanges[own + 1 : own + 2])
        self._create(node, created, tensors)
        for key in [*created, *written]:
            self.last_writer[key] = here
            self.readers[key] = []
        for key in read.keys() - written:
            self.readers.setdefault(key, []).append(here)
        if not keys:
            self.host_after[node] = {here}
        side = updates_on_the_side(node)
        reads = tuple(dict.fromkeys(self.number(key) for key in read if key not in created))
        where: Provenance | None = node.meta.get(META_KEY)
        self.nodes.append(node)
        self.ops.append(
            Op(
                name=node.name,
                target=str(node.target),
                after=tuple(sorted(waits - {here})),
                creates=tuple(self._made),
                reads=reads,
                writes=tuple(self.number(key) for key in read if key in written and not side),
                phase=where.phase if where else None,
                module=where.module if where else None,
                source=where.source if where else None,
                pointwise=(_POINTWISE in node.target.tags) or None,  # type: ignore[union-attr]
                random=random or None,
                call=node.meta.get(CALL_KEY),
                flops=flops_of(node),
                pure=is_pure(node),
                reuse=tuple((self.number(made), self.number(given)) for made, given in reuse_of(node)),
                rows=rows_of(node),
            )
        )

    def number(self, key: int) -> int:
        """The number of a storage. Residents come after all others in the graph; until it is known how many the others
        are, residents are numbered -1, -2, ... in the sequence in which ops touch them."""
        index = self.index_of[key]
        return -1 - self.residents.setdefault(key, len(self.residents)) if index is None else index

    def hold(self, nodes: Collection[Node]) -> None:
        """Let the storages of these nodes live at least until the last op added so far."""
        keys = {key for node in nodes for key in self.keys_of[node]}
        found = {index for key in keys if (index := self.index_of[key]) is not None}
        found -= {*self.ops[-1].creates, *self.ops[-1].reads} if found else set()
        if found:
            makers = {self.maker[index] for index in found}
            op = self.ops[-1]
            self.ops[-1] = replace(op, reads=(*op.reads, *sorted(found)), after=tuple(sorted({*op.after, *makers})))

    def _create(self, node: Node, created: list[int], tensors: list[torch.Tensor]) -> None:
        external = bool(created) and find_writer(node) is None
        self._made = []
        for key in created:
            tensor = next(tensor for tensor in tensors if storage_key(tensor) == key)
            self.index_of[key] = len(self.storages)
            self._made.append(len(self.storages))
            self.maker[len(self.storages)] = len(self.ops)
            here = is_on(tensor, self.device)
            size = tensor.untyped_storage().nbytes()
            if not self.with_workspace:
                size = max(size, unreduced_bytes(node))
            entry = {
                "bytes": size if here else 0,
                "shape": tuple(int(size) for size in tensor.shape),
                "dtype": str(tensor.dtype).removeprefix("torch."),
                "region": "op" if external else "arena",
            }
            self.storages.append(entry if here else {**entry, "kind": "elsewhere"})
        workspace = workspace_bytes(node) if self.with_workspace else 0
        if workspace:
            self._made.append(len(self.storages))
            self.storages.append({"bytes": workspace, "region": "op", "kind": "workspace"})

    _made: list[int] = field(default_factory=list)


def _refuse_unknown_shapes(node: Node) -> None:
    for tensor in tensors_of(node):
        if any(not isinstance(size, int) for size in (*tensor.shape, *tensor.stride())):
            where: Provenance | None = node.meta.get(META_KEY)
            line = f"{where.source}: " if where and where.source else ""
            raise DataDependentError(
                f"{line}{node.target} makes a tensor whose shape depends on values; pad it to a fixed shape, or keep "
                "that part outside the step"
            )


def build_step(
    module: GraphModule,
    name: str,
    inputs: Mapping[Node, Input],
    device: torch.device,
    *,
    workspace: bool,
    checks: dict[Node, tuple[Node, ...]] | None = None,
    held: Mapping[Node, Collection[Node]] | None = None,
    gradients: Collection[Node] = (),
) -> Step:
    """The step of a traced module, after all passes. `inputs`: placeholder -> its input. Residents are numbered in the
    sequence in which ops touch them, and those that no op touches by `Input.role`, so that two captures of one step
    number them alike, in whatever order a state or a batch holds its tensors.

    `device`: the device that the step runs on; tensors elsewhere do not count. `workspace`: whether known workspaces of
    ops become external storages of their own. `checks`: see `conditions.checks_inside`. `held`: node -> nodes whose
    storages live until it has run. `gradients`: nodes whose storages are parameters' gradients. Raises CaptureError.
    """
    builder = _Builder(device, workspace, checks or {})
    sizes: dict[str, list[int]] = {}
    there: dict[int, Storage] = {}
    results: list[Node] = []
    for node in inputs:
        builder.resident(node, tensors_of(node))
    for node in module.graph.nodes:
        _refuse_unknown_shapes(node)
        if node.op in ("placeholder", "get_attr"):
            tensors = tensors_of(node)
            if node.op == "get_attr" and not tensors:
                constant = getattr(module, str(node.target))
                tensors = [constant] if isinstance(constant, torch.Tensor) else []
                node.meta["val"] = constant
            builder.resident(node, tensors)
            for tensor in tensors:
                kind = _KINDS.get(inputs[node].kind, inputs[node].kind) if node in inputs else "constant"
                unused = kind == "state" and not node.users  # of a parameter without gradient
                if storage_key(tensor) in there:
                    continue
                size = tensor.untyped_storage().nbytes()
                if unused or not is_on(tensor, device):
                    size = 0
                else:
                    sizes.setdefault(kind, []).append(size)
                form = tuple(int(length) for length in tensor.shape)
                dtype = str(tensor.dtype).removeprefix("torch.")
                there[storage_key(tensor)] = Storage(size, False, kind, form, dtype, "resident")
        elif node.op == "output":
            results = node.all_input_nodes
        elif node.op == "call_function":
            builder.add(node)
            builder.hold((held or {}).get(node, ()))
        else:
            raise CaptureError(f"the traced step holds a {node.op} ({node.target}), which has no op; report it")
    if not results:
        raise CaptureError("the step returns no loss; return it")
    untouched = sorted(inputs, key=lambda one: inputs[one].role)
    for key in (*(key for node in untouched for key in builder.keys_of[node]), *there):
        builder.number(key)
    outputs = {builder.index_of[key] for result in results for key in builder.keys_of.get(result, ())}
    held_gradients = {builder.index_of[key] for node in gradients for key in builder.keys_of.get(node, ())}
    graph = Graph(
        name=name,
        storages=(
            *with_kinds(builder.ops, builder.storages, outputs, held_gradients),
            *(there[key] for key in builder.residents),
        ),
        ops=tuple(_numbered(op, len(builder.storages)) for op in builder.ops),
    )
    storage_of = {node: tuple(builder.index_of[key] for key in keys) for node, keys in builder.keys_of.items()}
    return Step(graph, tuple(builder.nodes), storage_of, {kind: tuple(each) for kind, each in sizes.items()})


def _numbered(op: Op, created: int) -> Op:
    """The op with the final numbers of residents, which follow the `created` storages."""

    def last(storages: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(storage if storage >= 0 else created - 1 - storage for storage in storages)

    reuse = tuple((made, created - 1 - given if given < 0 else given) for made, given in op.reuse)
    return replace(op, reads=last(op.reads), writes=last(op.writes), reuse=reuse)
