"""Multi-tensor ops become one op a parameter: same bits, and each update can run by itself."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from roam_lab.capture import capture_step
from roam_lab.capture.multi_tensor import is_multi_tensor, split_multi_tensor
from roam_lab.runtime.identity import digest
from tests.zoo import OPTIMIZERS, tiny

aten = torch.ops.aten


def lists(count=3):
    torch.manual_seed(0)
    return [[torch.randn(2, index + 1) for index in range(count)] for _ in range(3)]


def functional(a, b, c):
    total = aten._foreach_add.List(a, b)
    aten._foreach_mul_.ScalarList(total, [1.0, 2.0, 3.0])
    aten._foreach_addcdiv_.ScalarList(a, b, total, [0.5, 0.25, 0.125])
    norms = aten._foreach_norm.Scalar(a, 2)
    aten._foreach_copy_.default(c, total)
    aten._foreach_div_.Tensor(c, norms[1])
    return [*total, *norms]


def test_the_same_bits_one_by_one():
    module = make_fx(functional)(*lists())
    split_multi_tensor(module)
    calls = [node for node in module.graph.nodes if node.op == "call_function" and is_multi_tensor(node.target)]
    assert len(calls) == 6 * 3
    assert all(len(node.args[0]) == 1 for node in calls)
    module.recompile()
    given, twins = lists(), lists()
    found, expected = module(*given), functional(*twins)
    assert [digest(t) for t in found] == [digest(t) for t in expected]
    assert [digest(t) for part in given for t in part] == [digest(t) for part in twins for t in part]


def test_what_counts_as_multi_tensor():
    assert is_multi_tensor(aten._foreach_add.List)
    assert is_multi_tensor(aten._fused_adamw_.default)
    assert not is_multi_tensor(aten._fused_dropout.default)
    assert not is_multi_tensor(aten.cat.default)
    assert not is_multi_tensor(len)


@pytest.mark.parametrize("flavour", ["adamw_foreach", "adamw_fused", "sgd_momentum_fused", "adam_amsgrad_fused"])
def test_no_update_waits_for_another_parameter(flavour):
    model, batch, _ = tiny()
    captured = capture_step(model, OPTIMIZERS[flavour](model.parameters()), batch)
    graph, parameters = captured.graph, sum(p.requires_grad for p in model.parameters()) - 1  # one is unused
    updates = [index for index, op in enumerate(graph.ops) if op.phase == "update"]
    reach = {}
    for index in updates:
        op = graph.ops[index]
        own = {s for s in op.touches if graph.storages[s].kind == "gradient"}
        reach[index] = own.union(*(reach[before] for before in op.after if before in reach))
    assert max(map(len, reach.values())) == 1
    if "fused" in flavour:
        assert sum("_fused_" in graph.ops[index].target for index in updates) == parameters


def test_one_gradient_of_a_list_that_no_one_reads():
    def step(a, b):
        return aten._foreach_neg.default([a, b])[1]

    module = make_fx(step)(torch.ones(2), torch.ones(3))
    split_multi_tensor(module)
    module.recompile()
    assert torch.equal(module(torch.ones(2), torch.ones(3)), -torch.ones(3))
