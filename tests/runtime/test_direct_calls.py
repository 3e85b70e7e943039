"""What a program calls in place of an op is that op."""

import pytest
import torch

from roam_lab.capture.torch_internals import TorchDispatchMode
from roam_lab.runtime.direct_calls import _BOUND, direct

aten = torch.ops.aten


class Noted(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.ops = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.ops.append(func)
        return func(*args, **(kwargs or {}))


def arguments():
    a, b, cube = torch.rand(4, 4), torch.rand(4, 4), torch.rand(2, 4, 4)
    out, row, mask = torch.empty(4, 4), torch.rand(4), torch.rand(4, 4) > 0.5
    for op in (aten.mul, aten.div):
        yield op.out, (a, b), {"out": out}
        yield op.out, (a, 2.0), {"out": out}
        yield op.out, (a, 2), {"out": out}
    for op in (aten.add, aten.sub):
        yield op.out, (a, b), {"out": out}
        yield op.out, (a, b), {"alpha": 2, "out": out}
    for op in (aten.exp, aten.neg, aten.rsqrt, aten.sqrt, aten.tanh):
        yield op.out, (a,), {"out": out}
    for op in (aten.add_.Tensor, aten.mul_.Tensor):
        yield op, (a, b), {}
        yield op, (a, 2.0), {}
    yield aten.add_.Tensor, (a, b), {"alpha": 3}
    yield aten.copy_.default, (a, b), {}
    yield aten.addmm.out, (row, a, b), {"out": out}
    yield aten.addmm.out, (row, a, b), {"beta": 0.5, "alpha": 2, "out": out}
    yield aten.baddbmm.out, (cube, cube, cube), {"out": torch.empty(2, 4, 4)}
    yield aten.bmm.out, (cube, cube), {"out": torch.empty(2, 4, 4)}
    yield aten.cat.out, ([a, b], -1), {"out": torch.empty(4, 8)}
    yield aten.mm.out, (a, b), {"out": out}
    yield aten.sum.IntList_out, (a, [0]), {"out": torch.empty(4)}
    yield aten.sum.IntList_out, (a, [0], True), {"out": torch.empty(1, 4)}
    yield aten.sum.IntList_out, (a, [0]), {"dtype": torch.float64, "out": torch.empty(4, dtype=torch.float64)}
    yield aten.where.self_out, (mask, a, b), {"out": out}
    yield aten.native_dropout.default, (a, 0.1, True), {}
    yield aten.native_layer_norm.default, (a, [4], row, None, 1e-5), {}
    yield aten.expand.default, (row, [4, 4]), {}
    yield aten.permute.default, (cube, [2, 0, 1]), {}
    yield aten.t.default, (a,), {}
    yield aten.transpose.int, (cube, 0, -1), {}
    yield aten.unsqueeze.default, (a, 0), {}
    yield aten.view.default, (cube, [8, 4]), {}


CASES = list(arguments())


def test_every_function_is_tried():
    assert {op for op, _, _ in CASES} == set(_BOUND)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_it_is_the_op(number):
    op, args, kwargs = CASES[number]
    with torch.no_grad(), Noted() as noted:
        direct(op)(*args, **kwargs)
    with torch.no_grad(), Noted() as wanted:
        op(*args, **kwargs)
    assert noted.ops == wanted.ops == [op]


def test_other_ops_of_aten_and_what_is_no_op():
    assert torch.equal(direct(aten.relu.default)(torch.tensor([-1.0, 2.0])), torch.tensor([0.0, 2.0]))
    assert direct(test_every_function_is_tried) is test_every_function_is_tried
