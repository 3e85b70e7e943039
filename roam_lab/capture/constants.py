"""The arguments of ops that are no tensors, turned into plain values that can be kept and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def in_sequence(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """Every argument of an op in the sequence of its schema, with the schema's defaults for those that were left out.
    Tensors may be nodes of a graph.

    Callers of an op, and modes that pass a call on, differ in which arguments they name and which they leave out.
    """
    rest = func._schema.arguments[len(args) :]
    given = (*args, *(kwargs.get(argument.name, argument.default_value) for argument in rest if not argument.is_out))
    if func is torch.ops.aten.as_strided.default and given[3] is None:
        viewed = given[0] if isinstance(given[0], torch.Tensor) else given[0].meta["val"]
        return (*given[:3], viewed.storage_offset())  # what eager gives, where the user gives none
    return given
