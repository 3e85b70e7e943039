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
    data = raw_bytes(value)
    kind = str(value.dtype).removeprefix("torch.")
    return f"{kind}{list(value.shape)} {hashlib.sha256(data.data).hexdigest()}"


def raw_bytes(tensor: torch.Tensor) -> NDArray[numpy.uint8]:
    """The tensor's elements in logical order, as bytes in CPU memory."""
    flat = tensor.detach().to("cpu").contiguous().reshape(-1)
    flat = flat.as_strided(flat.shape, (1,))  # one element counts as contiguous with any stride, but cannot be viewed
    array: NDArray[numpy.uint8] = flat.view(torch.uint8).numpy()
    return array
