"""Which numbers of a step are the same on all ranks.

They are those computed from exchanged tensors, and from what DistributedDataParallel assumes to be equal on all ranks:
parameters, optimizer state and settings. In a sharded model each rank has parameters and state of its own.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch.fx import GraphModule, Node

from roam_lab.distributed.collectives import starts_exchange
from roam_lab.distributed.gathering import REDUCE_SCATTER
from roam_lab.distributed.torch_internals import pytree


def rank_dependent(module: GraphModule, own: Collection[Node], nodes: Collection[Node]) -> bool:
    """Whether one of these nodes may have another value on another rank. `own`: the inputs that each rank has for
    itself, its batch and buffers."""
    local: set[Any] = set()  # nodes without a tensor, and storages, whose contents are this rank's own
    for node in module.graph.nodes:
        keys = _keys(node)
        if node.op == "placeholder":
            local.update(keys if node in own else ())
            continue
        if starts_exchange(node.target) and node.target is not REDUCE_SCATTER:
            local.difference_update(keys)
            continue
        draws = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
        if draws or any(key in local for given in node.all_input_nodes for key in _keys(given)):
            local.update(keys)
            local.update(key for given in _written(node) for key in _keys(given))
    return any(key in local for node in nodes for key in _keys(node))


def _keys(node: Node) -> list[Any]:
    """The storages of a node's tensors; the node itself where it stands for numbers."""
    leaves = [leaf for leaf in pytree.tree_leaves(node.meta.get("val")) if isinstance(leaf, torch.Tensor)]
    return [leaf.untyped_storage()._cdata for leaf in leaves] or [node]


def _written(node: Node) -> list[Node]:
    schema = getattr(node.target, "_schema", None)
    if schema is None or not schema.is_mutable:
        return []
    return list(node.all_input_nodes)
