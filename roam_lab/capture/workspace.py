"""The workspace of ops: memory that an op takes while it runs, beside its results, where that is known and large."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Node

from roam_lab.capture.cuda_workspace import staging_bytes
from roam_lab.capture.hand_made import REDUCING_LOSSES, is_copied
from roam_lab.capture.nodes import ELSEWHERE, tensors_of
from roam_lab.capture.writers import find_writer

aten = torch.ops.aten


def workspace_bytes(node: Node) -> int:
    """Bytes that the op allocates and frees while it runs; 0 where nothing is known.

    Results that are copied to their places exist twice for a moment. Losses are computed unreduced first. CUDA sums
    over rows need a buffer (cuda_workspace.py).
    """
    if unreduced := unreduced_bytes(node):
        return unreduced
    results = tensors_of(node)
    if ELSEWHERE in node.meta or not results or not is_copied(node.target, results[0].device.type):
        return staging_bytes(node)
    return _blocked_bytes(node) + (sum(map(_bytes, results)) if find_writer(node) else 0)


def _blocked_bytes(node: Node) -> int:
    """Bytes of the copies in a blocked memory format that a convolution on the CPU (oneDNN) makes of contiguous tensors
    while its results exist, too. As measured for every convolution of a ResNet-50, to a few MiB or above."""
    if node.target is aten.convolution.default:
        source, weight, strides = _value(node.args[0]), _value(node.args[1]), node.args[3]
        most = max(_bytes(source), _bytes(_value(node)))
    elif node.target is aten.convolution_backward.default:
        source, weight, strides = _value(node.args[1]), _value(node.args[2]), node.args[4]
        most = _bytes(source) + max(_bytes(_value(node.args[0])), _bytes(source) if _is_strided(strides) else 0)
    else:
        return 0
    return most + _bytes(weight) if source.is_contiguous() else 0


def _is_strided(strides: Any) -> bool:
    return any(stride != 1 for stride in strides)


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def unreduced_bytes(node: Node) -> int:
    """Bytes of the unreduced loss, for ops that compute it in the storage of their result; 0 for other ops."""
    result = _value(node)
    if node.target not in REDUCING_LOSSES or result.dim():
        return 0
    given = [value for argument in node.args[:2] if isinstance(value := _value(argument), torch.Tensor)]
    return int(torch.broadcast_shapes(*(value.shape for value in given)).numel() * result.element_size())


def _value(argument: Any) -> Any:
    return argument.meta.get("val") if isinstance(argument, Node) else None
