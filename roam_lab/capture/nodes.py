"""Questions about the nodes of a traced graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch.fx import GraphModule, Node

from roam_lab.capture.moves import writes_statistics
from roam_lab.capture.torch_internals import OpOverload, pytree


def tensors_of(node: Node) -> list[torch.Tensor]:
    """The fake tensors that a node stands for, in order."""
    value = node.meta.get("val")
    values = value if isinstance(value, (list, tuple)) else [value]
    return [entry for entry in values if isinstance(entry, torch.Tensor)]


ELSEWHERE = "roam_elsewhere"
"""A key of `node.meta`: the node's results lie on another device than the step's."""


def is_on(tensor: torch.Tensor, device: torch.device) -> bool:
    """Whether a tensor lies on the device that a step runs on."""
    return tensor.device.type == device.type and device.index in (None, tensor.device.index)


def note_elsewhere(nodes: Iterable[Node], device: torch.device) -> None:
    """Mark ops whose results lie on another device than the step's, such as counters and seeds on the host; they get no
    place in the arena."""
    for node in nodes:
        tensors = tensors_of(node) if node.op == "call_function" else []
        if tensors and not any(is_on(tensor, device) for tensor in tensors):
            node.meta[ELSEWHERE] = True


OWN_RESULT = "roam_own_result"
"""A key of `node.meta`: the node's result outlives the step and must not be a copy, so the op allocates it itself, as
in eager."""


def note_own_results(module: GraphModule, results: Iterable[int]) -> None:
    """Mark the ops that make these results of the module (indices of its outputs)."""
    nodes = list(module.graph.nodes)
    given = [nodes[-1].args[0][index] for index in results]
    keys = {storage_key(tensor) for node in given for tensor in tensors_of(node)}
    for node in nodes:
        made = {storage_key(tensor) for tensor in tensors_of(node)} & keys
        if made and node.op == "call_function":
            node.meta[OWN_RESULT] = True
        keys -= made  # the first is the one that makes it


def storage_key(tensor: torch.Tensor) -> int:
    """A number that identifies the storage of a fake tensor."""
    return int(tensor.untyped_storage()._cdata)


def is_host(node: Node) -> bool:
    """Whether a node is arithmetic on Python numbers (settings, `.item()` results), and no op of its own."""
    return node.op == "call_function" and not isinstance(node.target, OpOverload) and not is_getitem(node)


def is_getitem(node: Node) -> bool:
    """Whether a node picks one of several results of an op."""
    return node.op == "call_function" and getattr(node.target, "__name__", "") == "getitem"


def written_arguments(node: Node) -> Iterator[Node]:
    """The nodes that an op writes in place."""
    target = node.target
    if not isinstance(target, OpOverload):
        return
    undeclared = writes_statistics(target)
    if not target._schema.is_mutable and not undeclared:
        return
    arguments = target._schema.arguments
    given = dict(zip((a.name for a in arguments), node.args, strict=False)) | dict(node.kwargs)
    undeclared = undeclared and given.get("training") is not False
    for argument in arguments:
        declared = argument.alias_info is not None and argument.alias_info.is_write
        if declared or (undeclared and argument.name in ("running_mean", "running_var")):
            for leaf in pytree.tree_leaves(given.get(argument.name)):
                if isinstance(leaf, Node):
                    yield leaf
