"""The values of a program: the source of arguments, and the names of variables and places."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.fx import Node

from roam_lab.capture import Captured
from roam_lab.capture.moves import writes_statistics
from roam_lab.capture.nodes import is_getitem, is_host, storage_key, tensors_of, written_arguments
from roam_lab.capture.torch_internals import OpOverload
from roam_lab.distributed.collectives import is_exchanged
from roam_lab.errors import CaptureError
from roam_lab.ir import Graph
from roam_lab.ir.host_copies import HostCopy
from roam_lab.runtime.arena import Form
from roam_lab.runtime.decisions import way_sentence
from roam_lab.runtime.direct_calls import NOTHING_DONE, direct
from roam_lab.runtime.host_copies import START_COPY
from roam_lab.runtime.host_memory import contents
from roam_lab.runtime.program import GIVEN, Place


def _mkldnn_rnn_layer(*args: Any) -> Any:
    """The op with gradients enabled, without which it does not return what its backward needs. Below autograd no graph
    is made."""
    with torch.enable_grad():
        return torch.ops.aten.mkldnn_rnn_layer.default(*args)


_OTHERWISE: dict[Any, Callable[..., Any]] = {torch.ops.aten.mkldnn_rnn_layer.default: _mkldnn_rnn_layer}
"""Op -> the function that the program calls instead."""


@dataclass
class ProgramValues:
    """The program, so far, of a captured step that runs as `graph`: its `lines`, and the source of each value in them.

    `creates`: node -> storages that it creates in the captured graph. `moved`: captured storage -> the storage of
    `graph` that has its value instead, for the op that is being written. `names`: (node, its storages) -> its variable
    or place. `views`: call -> name of the view that it made. `instead`: node -> the source of the rows on which a chain
    runs at the moment. `last_check`: number of lines up to the last condition.
    """

    captured: Captured
    graph: Graph
    creates: dict[Node, tuple[int, ...]]
    moved: Mapping[int, int] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)
    constant_names: dict[int, str] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    names: dict[tuple[Node, tuple[int | None, ...]], str] = field(default_factory=dict)
    ran: set[Node] = field(default_factory=set)
    instead: dict[Node, str] = field(default_factory=dict)
    locals_of: dict[int, list[str]] = field(default_factory=dict)
    views: dict[str, str] = field(default_factory=dict)
    last_check: int = 0

    def __post_init__(self) -> None:
        step = self.captured.step
        self.storage_of = step.storage_of
        placeholders = [node for node in self.captured.trace.module.graph.nodes if node.op == "placeholder"]
        self.inputs = inputs = dict(zip(placeholders, self.captured.trace.inputs, strict=True))
        self.batch = tuple(node for node, found in inputs.items() if found.kind in GIVEN)
        self.settings = tuple(
            node for node, found in inputs.items() if found.kind in ("setting", "python") and not tensors_of(node)
        )
        self.dynamic_keys = {storage_key(tensor) for node in self.batch for tensor in tensors_of(node)}
        self.roots: dict[int, Node] = {}
        for node in self.captured.trace.module.graph.nodes:
            if node.op in ("placeholder", "get_attr"):
                for tensor in tensors_of(node):
                    self.roots.setdefault(storage_key(tensor), node)
        for number, node in enumerate((*self.batch, *self.settings)):
            self.names[self.key(node)] = f"b{number}"
        self.inside = [placed.condition for placed in self.captured.conditions if placed.when == "inside"]
        self.otherwise = [way_sentence(condition) for condition in self.inside]
        self.read_by_checks = {node for condition in self.inside for node in condition.nodes}
        self.node_of = {found: node for node, found in inputs.items()}

    def where(self, storage: int | None) -> int | None:
        """The storage of the running graph that has the value of a captured storage; None: resident."""
        return None if storage is None else self.moved.get(storage, storage)

    def key(self, node: Node) -> tuple[Node, tuple[int | None, ...]]:
        """A key of a node's value, which differs for values of the node in other storages."""
        return node, tuple(map(self.where, self.storage_of[node]))

    def is_static(self, node: Node) -> bool:
        """Whether the node's value is one tensor at a fixed address."""
        tensors = tensors_of(node)
        if len(tensors) != 1 or isinstance(node.meta.get("val"), (list, tuple)):
            return False
        if not isinstance(tensors[0].storage_offset(), int):
            return False  # a slice that begins at a number which changes from step to step
        index = self.where(self.storage_of[node][0])
        if index is not None:
            return not self.graph.storages[index].external
        return storage_key(tensors[0]) not in self.dynamic_keys

    def is_own(self, node: Node) -> bool:
        """Whether the node's value is memory that an op of the step has allocated."""
        index = self.where(self.storage_of[node][0])
        return index is not None and self.graph.storages[index].external

    def writes_what_stays(self, node: Node) -> bool:
        """Whether an op writes into a tensor that was there before the step."""
        written = [tensor for argument in written_arguments(node) for tensor in tensors_of(argument)]
        if isinstance(node.target, OpOverload) and writes_statistics(node.target):
            written += [tensor for argument in node.all_input_nodes for tensor in tensors_of(argument)]
        return any(storage_key(tensor) in self.roots for tensor in written)

    def constant(self, value: Any) -> str:
        name = self.constant_names.get(id(value))
        if name is None:
            name = f"c{len(self.constants)}"
            self.constants[name] = value  # kept alive here, so its id stays its own
            self.constant_names[id(value)] = name
        return name

    def expression(self, value: Any) -> str:
        """The source of an argument."""
        if isinstance(value, Node):
            return self.value(value)
        if isinstance(value, (list, tuple)):
            parts = [self.expression(part) for part in value]
            if isinstance(value, tuple):
                return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
            return f"[{', '.join(parts)}]"
        if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
            return repr(value)
        return self.constant(value)

    def value(self, node: Node) -> str:
        """The name of a node's value, or an expression for a number; a view of a local variable is made when it is
        first needed."""
        if node in self.instead:
            return self.instead[node]
        if self.key(node) in self.names:
            return self.names[self.key(node)]
        if node.op == "get_attr" and not tensors_of(node):  # a torch.Generator
            return self.constant(getattr(self.captured.trace.module, str(node.target)))
        if is_host(node):
            return self.call(self.constant(node.target), node.args, node.kwargs)
        if self.is_static(node):
            name = self.place(node, tensors_of(node)[0])
        elif is_getitem(node):
            name = f"{self.value(node.args[0])}[{node.args[1]}]"  # type: ignore[arg-type]
            name = self.assign(node, name)
        elif node.target in NOTHING_DONE:
            name = self.value(node.args[0])  # type: ignore[arg-type]
        else:
            name = self.view(node)
        self.names[self.key(node)] = name
        return name

    def view(self, node: Node) -> str:
        """The name of a view of a local variable, made once."""
        if node in self.creates:
            raise CaptureError(f"the value of {node} is asked for where it is not there yet; report it with the model")
        call = self.call(self.function(node.target), node.args, node.kwargs)
        if call not in self.views:
            self.views[call] = self.assign(node, call)
        return self.views[call]

    def function(self, op: Any) -> str:
        """The name of the function that is called for an op."""
        return self.constant(direct(_OTHERWISE.get(op, op)))

    def call(self, function: str, args: Sequence[Any], kwargs: dict[str, Any], *more: str, first: str = "") -> str:
        parts = [first] if first else []
        parts += [self.expression(argument) for argument in args]
        parts += [f"{key}={self.expression(argument)}" for key, argument in kwargs.items()]
        return f"{function}({', '.join([*parts, *more])})"

    def assign(self, node: Node, expression: str) -> str:
        """Append the assignment of a value to a local variable, which will be deleted with its storages. Returns the
        name."""
        name = f"v{len(self.lines)}_{plain_name(node)}"
        self.lines.append(f"{name} = {expression}")
        for index in map(self.where, self.storage_of[node]):
            if index is not None:
                self.locals_of.setdefault(index, []).append(name)
        return name

    def out(self, node: Node, index: int) -> str:
        """The name of the tensor into which an op writes its index-th result."""
        users = [user for user in node.users if is_getitem(user) and user.args[1] == index]
        if not isinstance(node.meta["val"], (list, tuple)):
            if not self.is_static(node):  # over an operand that another op has allocated
                self.names[self.key(node)] = self.assign(node, self.value(self.read_there(node)))
            return self.value(node)
        if users:
            return self.value(users[0])
        return self.place(node, node.meta["val"][index])  # a result that no op reads needs a place, too

    def read_there(self, node: Node) -> Node:
        """The argument, of the same form, whose storage the op's result is to overwrite."""
        form, there = Form.of(tensors_of(node)[0]), self.key(node)[1]
        return next(
            given
            for given in node.all_input_nodes
            if self.key(given)[1] == there and Form.of(tensors_of(given)[0]) == form
        )

    def place(self, node: Node, like: torch.Tensor, form: Form | None = None) -> str:
        """The name of a new place for a node's value, in the form of `like` unless `form` is given."""
        storage = self.where(
            self.storage_of[node][next(i for i, tensor in enumerate(tensors_of(node)) if tensor is like)]
        )
        form = form or Form.of(like)
        if storage is None:
            return self.placed(self.resident(like, form))
        return self.placed(Place(storage, None, form, alone=is_exchanged(node)))

    def placed(self, place: Place) -> str:
        """The name of a new place."""
        name = f"t{len(self.places)}"
        self.places[name] = place
        return name

    def resident(self, like: torch.Tensor, form: Form) -> Place:
        """The place of a view of an input or of a constant."""
        root = self.roots[storage_key(like)]
        found = getattr(self.captured.trace.module, str(root.target)) if root.op == "get_attr" else self.inputs[root]
        return Place(None, found, form, Form.of(root.meta["val"]))

    def start_copy(self, number: int, copy: HostCopy) -> None:
        """Append the line that starts a copy of a whole storage to or from the host."""
        target, source = map(self.whole, (copy.target, copy.source))
        self.lines.append(f"{START_COPY}({number}, {target}, {source})")

    def whole(self, storage: int) -> str:
        """The name of a byte tensor over a whole storage."""
        found = self.graph.storages[storage]
        if found.external:
            return f"{self.constant(contents)}({self.locals_of[storage][0]})"
        return self.placed(Place(storage, None, Form((found.bytes,), (1,), torch.uint8, 0, False, False)))


def plain_name(node: Node) -> str:
    """The node's name without its number, which depends on nodes that were removed, so that two captures of one step
    give the same program."""
    return re.sub(r"_\d+$", "", node.name)
