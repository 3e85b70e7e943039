"""Memory that an op takes for itself while it runs, where that is known and large."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Node

from roam_lab.capture.cuda_workspace import staging_bytes

aten = torch.ops.aten


def workspace_bytes(node: Node) -> int:
    """Bytes that the op allocates and frees again within itself; 0 where nothing is known.

    CPU convolutions (oneDNN) on contiguous tensors work in a blocked layout: input, output and, going backward, the
    gradients are copied into it. On CUDA sums over rows are staged.
    """
    if node.target is aten.convolution.default:
        tensors = [_value(node.args[0]), _value(node)]
    elif node.target is aten.convolution_backward.default:
        tensors = [_value(node.args[0]), _value(node.args[1]), node.meta["val"][0]]
    else:
        return staging_bytes(node)
    blocked = [t for t in tensors if isinstance(t, torch.Tensor) and t.device.type == "cpu" and t.is_contiguous()]
    return sum(tensor.numel() * tensor.element_size() for tensor in blocked)


def _value(argument: Any) -> Any:
    return argument.meta.get("val") if isinstance(argument, Node) else None
