"""Plain values as JSON and back, type by type and bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from roam_lab.capture.stored import NotStoredError

_BARE = (type(None), bool, int, float, str)
_NAMED: dict[type, str] = {
    torch.dtype: "dtype", torch.layout: "layout", torch.memory_format: "memory_format",
}  # fmt: skip


def value_to_data(value: Any, other: Callable[[Any], Any] | None = None) -> Any:
    """A value of numbers, texts, torch's constants, lists and tuples. `other` writes what is none of these.

    Raises NotStoredError.
    """
    kind = type(value)
    if kind in _BARE:
        return value
    if isinstance(value, list) or kind in (tuple, torch.Size):
        parts = [value_to_data(part, other) for part in value]
        return parts if isinstance(value, list) else {"tuple": parts}
    if kind in _NAMED:
        return {_NAMED[kind]: str(value).removeprefix("torch.")}
    if kind is torch.device:
        return {"device": str(value)}
    if kind is complex:
        return {"complex": [value.real, value.imag]}
    if kind is bytes:
        return {"bytes": value.hex()}
    if other is not None:
        return other(value)
    raise NotStoredError(f"it holds a {kind.__name__}")


def value_from_data(data: Any, other: Callable[[str, Any], Any] | None = None) -> Any:
    """The value that `value_to_data` wrote. `other` reads what its `other` wrote: an object of one key.

    Raises NotStoredError for anything else.
    """
    if type(data) in _BARE:
        return data
    if isinstance(data, list):
        return [value_from_data(part, other) for part in data]
    if not isinstance(data, dict) or len(data) != 1:
        raise NotStoredError("a value in it is damaged")
    [(name, inner)] = data.items()
    if name == "tuple":
        return tuple(value_from_data(part, other) for part in inner)
    if name in _NAMED.values():
        found = getattr(torch, str(inner), None)
        if _NAMED.get(type(found)) != name:
            raise NotStoredError(f"it names torch.{inner}, which is no {name}")
        return found
    if name == "device":
        return torch.device(inner)
    if name == "complex":
        return complex(*inner)
    if name == "bytes":
        return bytes.fromhex(inner)
    if other is not None:
        return other(name, inner)
    raise NotStoredError(f"it holds a {name}")
