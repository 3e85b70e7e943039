"""Metrics of torchmetrics in a planned step: their states stay the same tensors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_NO_VALUE = torch.zeros(())


@contextmanager
def states_in_place(module: torch.nn.Module, wrapper: Any = None) -> Iterator[None]:
    """A context for one step: states of the module's metrics are buffers of the module, and the value that a metric has
    of its last step is a tensor also before its first step.

    A metric binds new tensors to its states in each step; where a state is a buffer, they are copied into the old one.
    `wrapper`: the DistributedDataParallel around the module, which must not broadcast them from the first rank.
    """
    torchmetrics = sys.modules.get("torchmetrics")
    named = [] if torchmetrics is None else list(module.named_modules())
    metrics = {path: one for path, one in named if isinstance(one, torchmetrics.Metric)}  # type: ignore[union-attr]
    moved = [
        (vars(metric), metric._buffers, name)
        for metric in metrics.values()
        for name in metric._defaults
        if isinstance(vars(metric).get(name), torch.Tensor)
    ]
    without = [vars(metric) for metric in metrics.values() if vars(metric).get("_forward_cache", _NO_VALUE) is None]
    ignored: set[str] = set() if wrapper is None else wrapper.parameters_to_ignore
    own = {f"{path}.{name}" for path, metric in metrics.items() for name in metric._defaults} - ignored
    for attributes, buffers, name in moved:
        buffers[name] = attributes.pop(name)
    for attributes in without:
        attributes["_forward_cache"] = _NO_VALUE
    ignored |= own
    try:
        yield
    finally:
        ignored -= own
        for attributes, buffers, name in moved:
            attributes[name] = buffers.pop(name)
        for attributes in without:
            if attributes["_forward_cache"] is _NO_VALUE:
                attributes["_forward_cache"] = None
