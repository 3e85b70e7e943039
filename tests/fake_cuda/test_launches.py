"""A planned step launches about as many kernels as an eager one, and as few as its memory allows."""

import pytest
import torch

from roam_lab.order.rejoin import calls_of
from tests.fake_cuda.device_counts import counted
from tests.fake_cuda.training import Training, on_cuda

FLAVOURS = {"default": {}, "foreach": {"foreach": True}, "fused": {"fused": True}}


def repeated(batch, times):
    """Made on the host: the device puts nothing together."""
    return on_cuda(torch.utils._pytree.tree_map(lambda x: torch.cat([x.cpu()] * times), batch))


def launches(name, flavour, times):
    """(eager, planned, launches that the plan's order adds) of a step; the batch of the zoo so many times."""
    training = Training(name, lambda parameters: torch.optim.AdamW(parameters, lr=1e-3, **FLAVOURS[flavour]))
    training.batch = repeated(training.batch, times)
    training.eager()
    with counted() as eager:
        training.eager()
    training.optimizer.zero_grad()
    hooked = training.hooked()
    hooked(training.batch)
    with counted() as planned:
        hooked(training.batch)
    graph = hooked.plan.graph
    calls = {op.call for op in graph.ops if op.call is not None}
    apart = sum(op.call is None for op in graph.ops) + len(calls)
    return eager.launches, planned.launches, calls_of(graph, hooked.plan.order) - apart


@pytest.mark.parametrize(
    ("name", "flavour"),
    [("gpt2", "default"), ("gpt2", "foreach"), ("gpt2", "fused"), ("vit", "fused")],
)
def test_no_more_than_eager_where_activations_are_most_of_the_memory(name, flavour):
    eager, planned, _ = launches(name, flavour, times=32)
    assert planned <= 1.02 * eager


@pytest.mark.parametrize(("name", "flavour"), [("bert", "default"), ("vit", "default"), ("resnet", "fused")])
def test_what_is_more_is_what_the_plan_keeps_apart_for_memory(name, flavour):
    """A call more for each time that gradients have to go; a square root, which is copied first, counts twice. The loss
    is cloned, and so is what a condition inside the step may have to put back."""
    eager, planned, apart = launches(name, flavour, times=1)
    assert planned <= eager + 1.5 * apart + 4
