"""Priming: making an optimizer's state before its first step, as a captured step updates state in place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch


def can_prime(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the optimizer's state exists, or can be made without running a step.

    It cannot for SGD with dampening, and for an optimizer of another library whose state is still empty.
    """
    if not _missing(optimizer) or not _has_lazy_state(optimizer):
        return True
    if type(optimizer) is torch.optim.SGD:
        return not any(group["momentum"] != 0 and group["dampening"] != 0 for group in optimizer.param_groups)
    return type(optimizer).__module__.startswith("torch.optim") and hasattr(optimizer, "_init_group")


def prime_optimizer(
    optimizer: torch.optim.Optimizer, parameters: Collection[torch.Tensor] | None = None, *, fake: bool = False
) -> bool:
    """Create the optimizer state that the first eager step would have created, with the same values.

    `parameters`: those that will receive a gradient (None: all that may). No memory for gradients is used. `fake`: only
    the state's shapes matter. Returns `can_prime`; where that is False, nothing is done unless `fake`.
    """
    if not can_prime(optimizer) and not (fake and type(optimizer) is torch.optim.SGD):
        return False
    wanted = None if parameters is None else {id(p) for p in parameters}
    missing = [p for p in _missing(optimizer) if wanted is None or id(p) in wanted]
    if not fake and "_need_device_dtype_check_for_fused" in vars(optimizer):
        vars(optimizer)["_need_device_dtype_check_for_fused"] = False  # a check that only the first step makes
    if missing and _has_lazy_state(optimizer):
        if type(optimizer) is torch.optim.SGD:
            _prime_sgd(optimizer, missing)
        else:
            _prime_through_init_group(optimizer, missing)
    return True


def _missing(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    return [
        p for group in optimizer.param_groups for p in group["params"] if p.requires_grad and not optimizer.state.get(p)
    ]


def _has_lazy_state(optimizer: torch.optim.Optimizer) -> bool:
    if type(optimizer) is torch.optim.SGD:
        return any(group["momentum"] != 0 for group in optimizer.param_groups)
    return True


def _prime_sgd(optimizer: torch.optim.Optimizer, missing: list[torch.nn.Parameter]) -> None:
    """SGD's first step sets its momentum buffer to the gradient. A buffer of -0.0 gives the same bits by the ordinary
    update, as m * -0.0 + g == g."""
    wanted = {id(p) for p in missing}
    for group in optimizer.param_groups:
        for p in group["params"]:
            if group["momentum"] != 0 and id(p) in wanted:
                optimizer.state[p]["momentum_buffer"] = torch.full_like(
                    p, -0.0, memory_format=torch.preserve_format
                ).detach()


def _prime_through_init_group(optimizer: torch.optim.Optimizer, missing: list[torch.nn.Parameter]) -> None:
    """Call torch.optim's own `_init_group`, which makes state for every parameter with a gradient; for the call
    parameters have gradients without memory."""
    init_group: Callable[..., object] = optimizer._init_group  # type: ignore[attr-defined]
    lists = [name for name in inspect.signature(init_group).parameters if name != "group"]
    wanted = {id(p) for p in missing}
    lent = [p for p in missing if p.grad is None]
    try:
        for p in lent:
            none = torch.zeros((), dtype=p.dtype, device=p.device)
            p.grad = none.expand(p.shape) if p.numel() != 1 else none.reshape(p.shape)  # state like it has its strides
        for group in optimizer.param_groups:
            mine = {**group, "params": [p for p in group["params"] if id(p) in wanted]}
            init_group(mine, *([] for _ in lists))
    finally:
        for p in lent:
            p.grad = None


def numeric_settings(group: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a parameter group that a scheduler may change: floats, tuples of floats, and the learning
    rate."""
    return {
        key: value
        for key, value in group.items()
        if isinstance(value, float)
        or (key == "lr" and type(value) is int)
        or (isinstance(value, tuple) and value and all(isinstance(part, float) for part in value))
    }
