"""Digests of values: short texts that are equal for equal bits only."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy
import torch
from numpy.typing import NDArray


def digest(value: Any) -> str:
    """A short text that is equal for equal bits only: payloads of NaNs and signs of zeros count, strides and devices do
    not."""
    if not isinstance(value, torch.Tensor):
        return f"{type(value).__name__} {value!r}"
    kind = str(value.dtype).removeprefix("torch.")
    bits = hashlib.sha256()
    for part in _parts(value):
        bits.update(raw_bytes(part).data)
    return f"{kind}{list(value.shape)} {bits.hexdigest()}"


def _parts(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The dense tensors that hold what it holds: of a sparse one (a gradient of an embedding), indices and values."""
    if tensor.layout is torch.sparse_coo:
        return tensor._indices(), tensor._values()  # as they are: coalescing would change it
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return tensor.crow_indices(), tensor.col_indices(), tensor.values()
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return tensor.ccol_indices(), tensor.row_indices(), tensor.values()
    return (tensor,)


def raw_bytes(tensor: torch.Tensor) -> NDArray[numpy.uint8]:
    """The tensor's elements in logical order, as bytes in CPU memory."""
    flat = tensor.detach().to("cpu").contiguous().reshape(-1)
    flat = flat.as_strided(flat.shape, (1,))  # one element counts as contiguous with any stride, but cannot be viewed
    array: NDArray[numpy.uint8] = flat.view(torch.uint8).numpy()
    return array
