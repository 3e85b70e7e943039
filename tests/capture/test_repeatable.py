"""Which ops may be run again: none that draws random numbers; attention without dropout draws none."""

from typing import Any

import pytest
import torch
from torch.fx import Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.functional import scaled_dot_product_attention

from roam_lab.capture.repeatable import draws_random, is_pure

aten = torch.ops.aten


def last_op(function: Any, *args: torch.Tensor) -> Node:
    traced = make_fx(function, tracing_mode="fake")(*args)
    return next(
        node
        for node in reversed(traced.graph.nodes)
        if node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload)
    )


@pytest.mark.parametrize("given", [{}, {"dropout_p": 0.0}, {"is_causal": True}])
def test_attention_without_dropout_may_be_run_again(given: dict[str, Any]) -> None:
    flash = aten._scaled_dot_product_flash_attention_for_cpu.default
    heads = torch.randn(1, 2, 4, 8)
    node = last_op(lambda x: flash(x, x, x, **given), heads)
    assert node.target is flash
    assert not draws_random(node)
    assert is_pure(node)


def test_attention_with_dropout_may_not() -> None:
    node = last_op(lambda x: scaled_dot_product_attention(x, x, x, dropout_p=0.1).sum(), torch.randn(1, 2, 4, 8))
    drawing = [one for one in node.graph.nodes if draws_random(one)]
    assert drawing
    assert not any(is_pure(one) for one in drawing)


def test_what_draws_or_writes_may_not() -> None:
    x = torch.randn(4)
    assert draws_random(last_op(lambda a: aten.bernoulli(a), x.sigmoid()))
    assert not is_pure(last_op(lambda a: aten.bernoulli(a), x.sigmoid()))
    assert not is_pure(last_op(lambda a: a.clone().add_(1), x))
    assert is_pure(last_op(lambda a: a + 1, x))
