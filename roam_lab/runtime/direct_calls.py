"""How a program calls an op: by the fastest function that calls the same kernel with the same arguments.

`torch.ops.aten.mul.out` makes a boxed call: every argument is matched against the schema at each call. PyTorch's
generated functions (`torch.mul`) parse the same arguments in half the time and call the same overload. Only functions
whose arguments determine the overload are listed here; every other ATen op is called past OpOverload's `__call__`,
which would only pass the arguments on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from roam_lab.capture.torch_internals import OpOverload, boxed_call

aten = torch.ops.aten

_BOUND: dict[Any, Callable[..., Any]] = {
    aten.add.out: torch.add,
    aten.add_.Tensor: torch.Tensor.add_,
    aten.addmm.out: torch.addmm,
    aten.baddbmm.out: torch.baddbmm,
    aten.bmm.out: torch.bmm,
    aten.cat.out: torch.cat,
    aten.copy_.default: torch.Tensor.copy_,
    aten.div.out: torch.div,
    aten.exp.out: torch.exp,
    aten.expand.default: torch.Tensor.expand,
    aten.mm.out: torch.mm,
    aten.mul.out: torch.mul,
    aten.mul_.Tensor: torch.Tensor.mul_,
    aten.native_dropout.default: torch.native_dropout,
    aten.native_layer_norm.default: torch.native_layer_norm,
    aten.neg.out: torch.neg,
    aten.permute.default: torch.permute,
    aten.rsqrt.out: torch.rsqrt,
    aten.sqrt.out: torch.sqrt,
    aten.sub.out: torch.sub,
    aten.sum.IntList_out: torch.sum,
    aten.t.default: torch.t,
    aten.tanh.out: torch.tanh,
    aten.transpose.int: torch.transpose,
    aten.unsqueeze.default: torch.unsqueeze,
    aten.view.default: torch.Tensor.view,
    aten.where.self_out: torch.where,
}
NOTHING_DONE = {aten.alias.default, aten.detach.default}
"""Ops whose result, below autograd, is their argument itself."""


def direct(op: Callable[..., Any]) -> Callable[..., Any]:
    """The function to call in place of an op; the op itself where it is not one of ATen."""
    if op in _BOUND:
        return _BOUND[op]
    return boxed_call(op) if isinstance(op, OpOverload) and op.namespace == "aten" else op
