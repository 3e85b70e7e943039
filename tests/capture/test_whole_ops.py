"""Ops that could be taken apart and have a kernel of their own: one op of the capture, with or without a log."""

import pytest
import torch
from torch import nn

from roam_lab.capture import as_step, capture_step


@pytest.mark.parametrize(
    ("layer", "op"),
    [
        (nn.SiLU(), "aten.silu_backward.default"),
        (nn.Mish(), "aten.mish_backward.default"),
        (nn.ChannelShuffle(2), "aten.native_channel_shuffle.default"),
    ],
)
def test_the_kernel_that_eager_runs_is_captured(layer, op):
    model = nn.Sequential(nn.Conv2d(4, 4, 1), layer, nn.Conv2d(4, 4, 1))
    step = as_step(lambda model, batch: model(batch).pow(2).mean())
    graph = capture_step(model, torch.optim.SGD(model.parameters()), torch.randn(2, 4, 3, 3), step).graph
    assert (op in {one.target for one in graph.ops}) == (op in _eager(layer))


def _eager(layer):
    """The ops that run in eager; shuffling channels has its op only where autograd does not look on."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Noted(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.add(str(func))
            return func(*args, **(kwargs or {}))

    seen = set()
    with Noted():
        layer(torch.randn(2, 4, 3, 3, requires_grad=True)).sum().backward()
    return seen
