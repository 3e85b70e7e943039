"""A traced graph as JSON and back: its nodes in sequence, and how each tensor of it lies in its storage."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch.fx import Graph, GraphModule, Node

from roam_lab.capture.nodes import ELSEWHERE, OWN_RESULT, storage_key
from roam_lab.capture.provenance import CALL_KEY, LOG_KEY, META_KEY, PART_KEY, Provenance
from roam_lab.capture.stored import NotStoredError
from roam_lab.capture.stored.ops import op_from_data, op_to_data
from roam_lab.capture.stored.values import value_from_data, value_to_data
from roam_lab.capture.torch_internals import FakeTensorMode, fake_of

MOST_CONSTANT_BYTES = 1 << 20
"""Of the tensors that a step makes of plain numbers."""
_MARKS = {LOG_KEY: "log", PART_KEY: "part", CALL_KEY: "call", ELSEWHERE: "elsewhere", OWN_RESULT: "own_result"}
_SYMBOLIC = torch.SymInt | torch.SymFloat | torch.SymBool

PathOf = Callable[[torch.Tensor], str]


class TracedGraph(torch.nn.Module):
    """A graph, and the tensors that it names, in the place of the GraphModule that was traced: nobody calls it."""

    def __init__(self, graph: Graph, constants: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.graph = graph
        for name, tensor in constants.items():
            object.__setattr__(self, name, tensor)


def graph_to_data(module: GraphModule, path_of: PathOf) -> dict[str, Any]:
    """`path_of`: where a tensor that the step reaches beside its inputs is found again. Raises NotStoredError."""
    return _Writer(module, path_of).written()


class _Writer:
    """`storages`: bytes of each storage of a fake tensor."""

    def __init__(self, module: GraphModule, path_of: PathOf) -> None:
        self._module, self._path_of = module, path_of
        self._index: dict[Node, int] = {}
        self._storages: dict[int, int] = {}
        self._bytes: list[int] = []
        self._constants: dict[str, Any] = {}
        self._room = MOST_CONSTANT_BYTES

    def written(self) -> dict[str, Any]:
        nodes = [self._node(node) for node in self._module.graph.nodes]
        return {"nodes": nodes, "storages": self._bytes, "constants": self._constants}

    def _node(self, node: Node) -> dict[str, Any]:
        data: dict[str, Any] = {"op": node.op, "name": node.name}
        if node.op == "call_function":
            data["target"] = op_to_data(node.target)
        elif node.op == "get_attr":
            data["target"] = str(node.target)
            if data["target"] not in self._constants:
                self._constants[data["target"]] = self._constant(getattr(self._module, data["target"]))
        data["args"] = [self._argument(one) for one in node.args]
        if node.kwargs:
            data["kwargs"] = {name: self._argument(one) for name, one in node.kwargs.items()}
        value = self._value(node.meta.get("val"))
        if value is not None:
            data["value"] = value
        where: Provenance | None = node.meta.get(META_KEY)
        if where is not None:
            data["where"] = [where.phase, where.module, where.source]
        for key, name in _MARKS.items():
            if key in node.meta and node.meta[key] is not None:
                data[name] = value_to_data(node.meta[key])
        self._index[node] = len(self._index)
        return data

    def _argument(self, value: Any) -> Any:
        return value_to_data(value, self._reference)

    def _reference(self, value: Any) -> Any:
        if isinstance(value, Node):
            return {"node": self._index[value]}
        raise NotStoredError(f"an op of the step is given a {type(value).__name__}")

    def _value(self, value: Any) -> Any:
        """What a node stands for: tensors with their place, numbers only in that they are some."""
        if isinstance(value, list | tuple):
            return [self._value(part) for part in value]
        return self._tensor(value) if isinstance(value, torch.Tensor) else None

    def _tensor(self, tensor: torch.Tensor) -> Any:
        sizes = (*tensor.shape, *tensor.stride(), tensor.storage_offset())
        if any(isinstance(size, _SYMBOLIC) for size in sizes):
            raise NotStoredError("a tensor of the step has a size, or a place, that changes from step to step")
        if tensor.is_conj() or tensor.is_neg():
            raise NotStoredError("the step uses a tensor whose conjugation or sign is a bit")
        key = storage_key(tensor)
        if key not in self._storages:
            self._storages[key] = len(self._bytes)
            self._bytes.append(int(tensor.untyped_storage().nbytes()))
        dtype = str(tensor.dtype).removeprefix("torch.")
        place = [self._storages[key], int(tensor.storage_offset())]
        return {"tensor": [dtype, list(tensor.shape), list(tensor.stride()), *place, str(tensor.device)]}

    def _constant(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            raise NotStoredError(f"the step uses a {type(value).__name__}")
        if not is_own_constant(value, self._module):
            return {"path": self._path_of(value)}
        plain = value.detach().cpu().contiguous()
        self._room -= plain.nbytes
        if self._room < 0 or value.layout is not torch.strided or not value.is_contiguous() or value.is_neg():
            raise NotStoredError("the step makes a large tensor, or one of a special form, of plain numbers")
        bits = bytes(plain.reshape(-1).view(torch.uint8).numpy().data) if plain.numel() else b""
        dtype = str(value.dtype).removeprefix("torch.")
        return {"bits": base64.b64encode(bits).decode(), "tensor": [dtype, list(value.shape), str(value.device)]}


def is_own_constant(value: torch.Tensor, module: Any) -> bool:
    """Whether the step makes the tensor of plain numbers, the same in every step; the user holds it otherwise."""
    name = next(str(n.target) for n in module.graph.nodes if n.op == "get_attr" and getattr(module, n.target) is value)
    return name.startswith("_tensor_constant")


def graph_from_data(data: Mapping[str, Any], tensor_at: Callable[[str], torch.Tensor]) -> GraphModule:
    """The graph that `graph_to_data` wrote. `tensor_at`: the tensor that the step reaches under a path.

    Raises NotStoredError, and what else Python raises for data of another form.
    """
    mode = FakeTensorMode()
    memory = [torch.empty(int(size), dtype=torch.uint8, device="meta").untyped_storage() for size in data["storages"]]
    constants = {str(name): _constant_from(one, tensor_at) for name, one in data["constants"].items()}
    graph = Graph()
    nodes: list[Node] = []

    def reference(name: str, inner: int) -> Node:
        if name != "node":
            raise NotStoredError(f"it holds a {name}")
        return nodes[inner]

    def value(one: Any) -> Any:
        if one is None or isinstance(one, list):
            return None if one is None else [value(part) for part in one]
        dtype, shape, strides, storage, offset, device = one["tensor"]
        dtype = value_from_data({"dtype": dtype})
        end = offset + 1 + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
        outside = min((offset, *strides)) < 0 or end * dtype.itemsize > data["storages"][storage]
        if min(shape, default=1) > 0 and outside:
            raise NotStoredError("a tensor in it lies outside of its storage")
        view = torch.empty(0, dtype=dtype, device="meta").set_(memory[storage], offset, shape, strides)
        return fake_of(view, mode, torch.device(device))

    for one in data["nodes"]:
        arguments = tuple(value_from_data(each, reference) for each in one["args"])
        keywords = {name: value_from_data(each, reference) for name, each in one.get("kwargs", {}).items()}
        if one["op"] == "call_function":
            node = graph.create_node("call_function", op_from_data(one["target"]), arguments, keywords, one["name"])
        elif one["op"] == "get_attr":
            if one["target"] not in constants:
                raise NotStoredError("a constant in it is missing")
            node = graph.create_node("get_attr", str(one["target"]), (), {}, one["name"])
        elif one["op"] == "placeholder":
            node = graph.create_node("placeholder", str(one["name"]), (), {}, one["name"])
        elif one["op"] == "output":
            node = graph.create_node("output", "output", arguments, {}, one["name"])
        else:
            raise NotStoredError(f"it holds a {one['op']}")
        node.meta["val"] = value(one.get("value"))
        if "where" in one:
            node.meta[META_KEY] = Provenance(*one["where"])
        for key, name in _MARKS.items():
            if name in one:
                node.meta[key] = value_from_data(one[name])
        nodes.append(node)
    return cast(GraphModule, TracedGraph(graph, constants))


def _constant_from(data: Any, tensor_at: Callable[[str], torch.Tensor]) -> torch.Tensor:
    if "path" in data:
        return tensor_at(str(data["path"]))
    dtype, shape, device = data["tensor"]
    bits = bytearray(base64.b64decode(data["bits"]))
    flat = torch.frombuffer(bits, dtype=torch.uint8) if bits else torch.empty(0, dtype=torch.uint8)
    return flat.view(value_from_data({"dtype": dtype})).reshape(shape).clone().to(torch.device(device))
