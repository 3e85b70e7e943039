"""Splitting multi-tensor ops (foreach, fused) into one op for each parameter.

One op over all parameters keeps every gradient alive until it runs. The same kernel on lists of one tensor gives the
same bits, and lets the planner run each update where it saves memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch.fx import GraphModule, Node

from roam_lab.capture.nodes import ELSEWHERE
from roam_lab.capture.provenance import CALL_KEY, LOG_KEY, META_KEY, PART_KEY
from roam_lab.capture.torch_internals import OpOverload


def split_multi_tensor(module: GraphModule) -> None:
    """Replace every `_foreach_*` and `_fused_*` node over n tensors by n nodes over one. Works in place."""
    calls = itertools.count()
    for node in list(module.graph.nodes):
        if node.op == "call_function" and is_multi_tensor(node.target):
            _split(module, node, next(calls))
    module.graph.lint()


def is_multi_tensor(target: Any) -> bool:
    """True for ATen's `_foreach_*` ops and `_fused_*` optimizers."""
    if not isinstance(target, OpOverload):
        return False
    first = target._schema.arguments[0].type if target._schema.arguments else None
    return target._schema.name.startswith(("aten::_foreach_", "aten::_fused_")) and isinstance(first, torch.ListType)


def joined(nodes: Sequence[Node]) -> tuple[list[Any], dict[str, Any]]:
    """Arguments and keywords of one multi-tensor call that does the same as these parts of one call: their lists are
    concatenated."""
    first = nodes[0]

    def one(values: list[Any]) -> Any:
        parts = all(isinstance(value, list) and len(value) == 1 for value in values)
        return [value[0] for value in values] if parts else values[0]

    args = [one([node.args[place] for node in nodes]) for place in range(len(first.args))]
    return args, {name: one([node.kwargs[name] for node in nodes]) for name in first.kwargs}


def _split(module: GraphModule, node: Node, call: int) -> None:
    schema = node.target._schema  # type: ignore[union-attr]
    count = len(node.args[0])  # type: ignore[arg-type]
    lists = {
        argument.name
        for argument in schema.arguments
        if isinstance(argument.type, torch.ListType)
        or (
            isinstance(argument.type, torch.OptionalType) and isinstance(argument.type.getElementType(), torch.ListType)
        )
    }
    names = [argument.name for argument in schema.arguments]

    def pick(name: str, value: Any, index: int) -> Any:
        return [value[index]] if name in lists and isinstance(value, (list, tuple)) and len(value) == count else value

    parts = []
    with module.graph.inserting_before(node):
        for index in range(count):
            args = tuple(pick(name, value, index) for name, value in zip(names, node.args, strict=False))
            kwargs = {name: pick(name, value, index) for name, value in node.kwargs.items()}
            part = module.graph.call_function(node.target, args, kwargs)  # type: ignore[arg-type]
            part.meta[META_KEY] = node.meta.get(META_KEY)
            part.meta[LOG_KEY], part.meta[PART_KEY] = node.meta.get(LOG_KEY), (index, count)
            part.meta[CALL_KEY] = call
            if ELSEWHERE in node.meta:
                part.meta[ELSEWHERE] = True
            value = node.meta.get("val")
            if isinstance(value, (list, tuple)):
                part.meta["val"] = [value[index]]
            parts.append(part)
    for user in list(node.users):  # a functional foreach returns a list: only getitem uses it
        user.args = (parts[int(user.args[1])], 0)  # type: ignore[arg-type]
    module.graph.erase_node(node)
