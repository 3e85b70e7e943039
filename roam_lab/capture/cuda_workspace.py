"""Memory that CUDA kernels and libraries take beside the tensors of a step: by ops, and by cuBLAS in each thread."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.fx import Node

MIB = 1 << 20
_THREADS, _WARP = 512, 32
_VALUES_SHARED, _VALUES_ALONE = 16, 256
"""Values that one thread sums: at least so many where several blocks share an output; at most so many where one block
computes it."""


def cublas_workspace_bytes(device: torch.device) -> int:
    """Bytes of the workspace that PyTorch gives cuBLAS in each thread that uses it (CUBLAS_WORKSPACE_CONFIG unset); 0
    on the CPU."""
    if device.type != "cuda":
        return 0
    return 32 * MIB if torch.cuda.get_device_capability(device)[0] >= 9 else 8 * MIB + 128 * 1024


def staging_bytes(node: Node) -> int:
    """Bytes of the buffer in which blocks of a CUDA kernel leave partial sums, where several blocks share an output of
    a sum over leading dimensions (gradients of biases). 0 for other ops, and where no such buffer is used.

    Every thread of a block has an entry in it: for the sum of a (1024, 8000) matrix it takes 62.5 MiB.
    Source: aten/src/ATen/native/cuda/Reduce.cuh.
    """
    if node.target is not torch.ops.aten.sum.dim_IntList:
        return 0
    argument = node.args[0]
    tensor = argument.meta.get("val") if isinstance(argument, Node) else None
    if not isinstance(tensor, torch.Tensor) or tensor.device.type != "cuda" or not tensor.is_contiguous():
        return 0
    shape = _rows_and_columns(tensor, node.args[1])
    return 0 if shape is None else _staged(*shape, tensor)


def _rows_and_columns(tensor: torch.Tensor, dims: Any) -> tuple[int, int] | None:
    """(rows, columns) of the matrix over whose rows a sum goes; None where the sum is not over leading dimensions."""
    summed = {dim % tensor.dim() for dim in dims or range(tensor.dim())}
    real = [dim for dim, size in enumerate(tensor.shape) if size != 1]
    leading = [dim for dim in real if dim in summed]
    if not leading or real[: len(leading)] != leading or len(leading) == len(real):
        return None
    rows = math.prod(tensor.shape[dim] for dim in leading)
    return rows, tensor.numel() // rows


def _staged(rows: int, columns: int, tensor: torch.Tensor) -> int:
    vector = math.gcd(columns, 4)
    threads = _THREADS // vector
    across, down = _power(min(columns // vector, threads)), _power(min(rows, threads))
    width = min(across, _WARP)
    height = min(down, threads // width)
    width = min(across, threads // height)
    if rows < min(height * _VALUES_SHARED, _VALUES_ALONE):  # each thread sums a column of its own
        return 0
    values = -(-rows // height)
    device = torch.cuda.get_device_properties(tensor.device)
    most = device.multi_processor_count * (device.max_threads_per_multi_processor // (width * height))
    grid = -(-(columns // vector) // width)
    if values < _VALUES_ALONE or grid > most:
        return 0
    blocks = max(min(-(-most // grid), -(-values // _VALUES_SHARED)), -(-values // _VALUES_ALONE))
    size = 8 if tensor.dtype in (torch.float64, torch.int64) else 4
    return size * columns * blocks * width * vector if blocks > 1 else 0


def _power(number: int) -> int:
    """The largest power of two that is at most `number`."""
    return 1 << (number.bit_length() - 1)
