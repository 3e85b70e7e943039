"""Adding gradients in place, where eager's autograd engine does so, and where it could.

The engine adds a second gradient of a tensor into the first if nothing else refers to the first. In a trace the proxies
refer to it, so make_fx records an addition into a new tensor, which takes more memory than eager. Eager does not write
into a first gradient that is a view (the transposed one of a tied embedding), because the view refers to its base;
writing into it gives the same bits, and saves the memory of one gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Node

from roam_lab.capture.nodes import storage_key, tensors_of
from roam_lab.capture.provenance import META_KEY
from roam_lab.capture.torch_internals import FakeTensor, with_negative_bit

_ADD = torch.ops.aten.add.Tensor


def accumulate_in_place(module: GraphModule, *, as_eager: bool) -> bool:
    """Turn `add(a, b)` of the backward pass into `a.add_(b)` where a's storage ends there; True if any changed.

    `as_eager`: only where the engine does it. Otherwise also into views, and into b where a cannot be written.
    """
    nodes = list(module.graph.nodes)
    position = {node: index for index, node in enumerate(nodes)}
    holders: dict[int, list[Node]] = {}
    changed = False
    for node in nodes:
        for tensor in tensors_of(node):
            holders.setdefault(storage_key(tensor), []).append(node)
    for node in nodes:
        if node.target is _ADD and _phase(node) == "backward" and len(node.args) == 2 and not node.kwargs:
            first, second = node.args
            for target, other in ((first, second), (second, first))[: 1 if as_eager else 2]:
                if as_eager and isinstance(target, Node) and _is_view(target):
                    continue
                if _may_write(node, target, other, holders, position):
                    _rewrite(module, node, target, other, holders)
                    changed = True
                    break
    return changed


def _is_view(node: Node) -> bool:
    """Whether a node is made by an op that returns a view of its argument."""
    schema = getattr(node.target, "_schema", None)
    return schema is not None and any(r.alias_info is not None for r in schema.returns) and not schema.is_mutable


def _phase(node: Node) -> str | None:
    where = node.meta.get(META_KEY)
    return where.phase if where else None


def _may_write(node: Node, target: Any, other: Any, holders: dict[int, list[Node]], position: dict[Node, int]) -> bool:
    """Whether `target` is a dense gradient of the result's shape whose storage no later node reads."""
    if not isinstance(target, Node) or not isinstance(other, Node) or target is other:
        return False
    written, read, result = (tensors_of(value) for value in (target, other, node))
    if len(written) != 1 or len(read) != 1:
        return False
    a, b, out = written[0], read[0], result[0]
    key = storage_key(a)
    same = a.shape == out.shape and a.stride() == out.stride() and a.dtype == out.dtype == b.dtype
    if not same or storage_key(b) == key or a.untyped_storage().nbytes() != a.numel() * a.element_size():
        return False
    views = holders[key]
    makers = [view for view in views if view.op == "call_function" and _phase(view) == "backward"]
    if len(makers) != len(views):  # an input, or an activation that forward made
        return False
    last = max((position.get(user, -1) for view in views for user in view.users), default=-1)
    return last <= position[node]


def _rewrite(module: GraphModule, node: Node, target: Node, other: Node, holders: dict[int, list[Node]]) -> None:
    """Put the in-place op into the graph, and move every value of the result's storage to the target's."""
    written = tensors_of(target)[0]
    assert isinstance(written, FakeTensor)
    old, new = storage_key(tensors_of(node)[0]), storage_key(written)
    with written.fake_mode, torch.no_grad():
        for holder in holders.pop(old):
            value = holder.meta["val"]
            moved = [_view(written, part, old) for part in (value if isinstance(value, (list, tuple)) else [value])]
            holder.meta["val"] = moved if isinstance(value, (list, tuple)) else moved[0]
            if holder is not node:
                holders[new].append(holder)
    node.target = torch.ops.aten.add_.Tensor
    node.args = (target, other)
    node.name = module.graph._graph_namespace.create_name("add_", None)
    holders[new].append(node)


def _view(base: torch.Tensor, like: object, key: int) -> object:
    if not isinstance(like, torch.Tensor) or storage_key(like) != key:
        return like
    made = torch.empty(0, dtype=like.dtype, device=base.device)
    made = made.set_(base.untyped_storage(), like.storage_offset(), like.shape, like.stride())
    made = made.conj() if like.is_conj() else made
    return with_negative_bit(made) if like.is_neg() else made
