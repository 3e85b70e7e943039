"""Fakes of what the op log says that a real kernel returned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from roam_lab.capture.torch_internals import FakeTensor
from roam_lab.ir.op_log import LoggedTensor


def fake_of_logged(mode: Any, logged: LoggedTensor) -> torch.Tensor:
    """With its shape, strides, type and device."""
    meta = torch.empty_strided(logged.shape, logged.stride, dtype=getattr(torch, logged.dtype), device="meta")
    return FakeTensor(mode, meta, torch.device(logged.device))


def filled(result: Any, logged: Sequence[LoggedTensor]) -> Any:
    """The result of a fake kernel, with what the real one made besides (`logged`: all that it returned), where the fake
    one has left out what nobody asked for, such as the gradient of the grid that `grid_sample` was given. The result
    itself where both returned as much, or where it cannot be told what was left out."""
    fakes = [one for one in result if isinstance(one, FakeTensor)] if isinstance(result, tuple) else []
    if not fakes or len(fakes) == len(logged) or len(result) != len(logged):
        return result
    if any(one is not None and not isinstance(one, FakeTensor) for one in result):
        return result
    mode = fakes[0].fake_mode
    return tuple(fake_of_logged(mode, there) if one is None else one for one, there in zip(result, logged, strict=True))
