"""Metrics of torchmetrics in a planned step: what they count in is kept in place."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_NO_VALUE = torch.zeros(())


@contextmanager
def states_in_place(module: torch.nn.Module) -> Iterator[None]:
    """While a step runs, the tensors that metrics of the module count in are buffers, and the value of their last step
    is a tensor from the first on.

    A metric binds new tensors to its states in each step: those of a buffer are written into the place of the old one.
    """
    torchmetrics = sys.modules.get("torchmetrics")
    metrics = [one for one in module.modules() if torchmetrics and isinstance(one, torchmetrics.Metric)]
    moved = [
        (vars(metric), metric._buffers, name)
        for metric in metrics
        for name in metric._defaults
        if isinstance(vars(metric).get(name), torch.Tensor)
    ]
    without = [vars(metric) for metric in metrics if vars(metric).get("_forward_cache", _NO_VALUE) is None]
    for attributes, buffers, name in moved:
        buffers[name] = attributes.pop(name)
    for attributes in without:
        attributes["_forward_cache"] = _NO_VALUE
    try:
        yield
    finally:
        for attributes, buffers, name in moved:
            attributes[name] = buffers.pop(name)
        for attributes in without:
            if attributes["_forward_cache"] is _NO_VALUE:
                attributes["_forward_cache"] = None
