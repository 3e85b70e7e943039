"""Floating-point operations of ops, by torch's own flop counter."""

from __future__ import annotations

from typing import Any

from torch.fx import Node
from torch.utils.flop_counter import flop_registry

from roam_lab.capture.torch_internals import OpOverload, pytree


def flops_of(node: Node) -> int | None:
    """Flops (multiplications and additions) of a matrix product, convolution or attention; None for other ops, and for
    arguments that the counter does not know."""
    target = node.target
    if not isinstance(target, OpOverload) or target.overloadpacket not in flop_registry:
        return None

    def fake(value: Any) -> Any:
        return value.meta.get("val") if isinstance(value, Node) else value

    args, kwargs = pytree.tree_map(fake, (node.args, dict(node.kwargs)))
    try:
        return int(flop_registry[target.overloadpacket](*args, **kwargs, out_val=node.meta["val"]))
    except Exception:  # arguments that the counter does not know; the step is captured all the same
        return None
