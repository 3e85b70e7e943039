"""Reading and setting the random state are ops of the graph while a step is traced, and torch's own functions else."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from roam_lab.capture.rng import rng_as_ops


def twice(x):
    state = torch.get_rng_state()
    first = torch.rand(3)
    torch.set_rng_state(state)
    return first - torch.rand(3) + x


def test_traced_as_ops_and_the_same_when_run():
    before = torch.get_rng_state()
    with torch._subclasses.FakeTensorMode() as mode, rng_as_ops():
        module = make_fx(twice)(mode.from_tensor(torch.zeros(3)))
    assert torch.equal(torch.get_rng_state(), before)  # tracing draws nothing
    targets = [str(node.target) for node in module.graph.nodes if node.op == "call_function"]
    assert targets[:4] == [
        "roam_lab.get_rng_state.default",
        "aten.rand.default",
        "roam_lab.set_rng_state.default",
        "aten.rand.default",
    ]
    torch.manual_seed(1)
    assert torch.equal(module(torch.ones(3)), torch.ones(3))
    moved = torch.get_rng_state()
    torch.manual_seed(1)
    twice(torch.ones(3))
    assert torch.equal(torch.get_rng_state(), moved)


def test_torchs_own_functions_come_back():
    functions = torch.get_rng_state, torch.set_rng_state, torch.cuda.get_rng_state, torch.cuda.set_rng_state
    with rng_as_ops():
        assert torch.get_rng_state is not functions[0]
    with pytest.raises(ZeroDivisionError), rng_as_ops():
        1 / 0  # noqa: B018
    assert functions == (
        torch.get_rng_state,
        torch.set_rng_state,
        torch.cuda.get_rng_state,
        torch.cuda.set_rng_state,
    )


def test_ops_are_marked_as_random():
    for name in ("get_rng_state", "set_rng_state", "get_cuda_rng_state", "set_cuda_rng_state"):
        assert torch.Tag.nondeterministic_seeded in getattr(torch.ops.roam_lab, name).default.tags
