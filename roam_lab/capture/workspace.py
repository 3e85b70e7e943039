"""The workspace of ops: memory that an op takes while it runs, beside its results, where that is known and large."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Node

from roam_lab.capture.cuda_workspace import staging_bytes
from roam_lab.capture.hand_made import REDUCING_LOSSES

aten = torch.ops.aten


def workspace_bytes(node: Node) -> int:
    """Bytes that the op allocates and frees while it runs; 0 where nothing is known.

    CPU convolutions (oneDNN) on contiguous tensors copy input, output and, in backward, the gradients into a blocked
    memory format. CUDA sums over rows need a buffer (cuda_workspace.py). Losses are computed unreduced first.
    """
    if unreduced := unreduced_bytes(node):
        return unreduced
    if node.target is aten.convolution.default:
        tensors = [_value(node.args[0]), _value(node)]
    elif node.target is aten.convolution_backward.default:
        tensors = [_value(node.args[0]), _value(node.args[1]), node.meta["val"][0]]
    else:
        return staging_bytes(node)
    blocked = [t for t in tensors if isinstance(t, torch.Tensor) and t.device.type == "cpu" and t.is_contiguous()]
    return sum(tensor.numel() * tensor.element_size() for tensor in blocked)


def unreduced_bytes(node: Node) -> int:
    """Bytes of the unreduced loss, for ops that compute it in the storage of their result; 0 for other ops."""
    result = _value(node)
    if node.target not in REDUCING_LOSSES or result.dim():
        return 0
    given = [value for argument in node.args[:2] if isinstance(value := _value(argument), torch.Tensor)]
    return int(torch.broadcast_shapes(*(value.shape for value in given)).numel() * result.element_size())


def _value(argument: Any) -> Any:
    return argument.meta.get("val") if isinstance(argument, Node) else None
