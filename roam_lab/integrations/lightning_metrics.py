"""torchmetrics in a planned step."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def states_as_buffers(module: torch.nn.Module) -> Iterator[None]:
    """The tensors that metrics of the module count in are buffers meanwhile.

    A metric binds new tensors to its states in each step, of which a buffer's are written into the place of the old.
    """
    torchmetrics = sys.modules.get("torchmetrics")
    metrics = [one for one in module.modules() if torchmetrics and isinstance(one, torchmetrics.Metric)]
    moved = [
        (vars(metric), metric._buffers, name)
        for metric in metrics
        for name in metric._defaults
        if isinstance(vars(metric).get(name), torch.Tensor)
    ]
    for attributes, buffers, name in moved:
        buffers[name] = attributes.pop(name)
    try:
        yield
    finally:
        for attributes, buffers, name in moved:
            attributes[name] = buffers.pop(name)
