"""The arguments of an op that are no tensors, as values that can be kept and compared."""

from __future__ import annotations

from typing import Any

import torch


def plain(value: Any) -> Any:
    """An argument that is no tensor, as a value that can be kept and compared."""
    if value is None or isinstance(value, bool | int | float | complex | str):
        return value
    if isinstance(value, torch.dtype):
        return name_of(value)
    return str(value) if isinstance(value, torch.device | torch.layout | torch.memory_format) else type(value).__name__


def name_of(dtype: torch.dtype) -> str:
    """ "float32" for torch.float32."""
    return str(dtype).removeprefix("torch.")
