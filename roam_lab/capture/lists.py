"""`tensor.tolist()` as ops. On a real tensor it reads memory without an op, and on a fake one it runs other ops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def tolist_as_ops() -> Iterator[None]:
    """A context for recording or tracing a step, in which `tolist` reads number by number, by ops that modes see."""
    outer = vars(torch.Tensor).get("tolist")  # of a step within a step
    torch.Tensor.tolist = _tolist  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        if outer is None:
            del torch.Tensor.tolist
        else:
            torch.Tensor.tolist = outer  # type: ignore[method-assign]


def _tolist(tensor: torch.Tensor) -> Any:
    if tensor.dim() == 0:
        return tensor.item()
    return [_tolist(part) for part in tensor.detach().unbind(0)]
