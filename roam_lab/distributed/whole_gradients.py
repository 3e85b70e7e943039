"""What torch computes from all gradients together, made right for gradients whose parts lie on several ranks: their
norm, for `torch.nn.utils.clip_grad_norm_`, and whether all are finite, for GradScaler. Torch itself would look at this
rank's parts alone."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import torch

from roam_lab.distributed.gathering import ALL_REDUCE
from roam_lab.distributed.sharding import Group, group_of_shards, sharded_modules
from roam_lab.distributed.torch_internals import GradScaler, clip_grad
from roam_lab.errors import InputError


def count_all_ranks() -> None:
    """Patch torch: from now on its total norm of a sharded model's gradients is that of the whole gradients, and its
    GradScaler skips a step on all ranks or on none. Other gradients are treated as before."""
    if not hasattr(clip_grad._get_total_norm, "_roam"):
        _count_in_norm(clip_grad._get_total_norm)
        _count_in_scaler(GradScaler._unscale_grads_)


def _count_in_scaler(own: Any) -> None:
    @functools.wraps(own)
    def unscale(scaler: Any, optimizer: torch.optim.Optimizer, *rest: Any, **named: Any) -> Any:
        found = own(scaler, optimizer, *rest, **named)
        groups = _groups_of_gradients()
        held = [id(one.grad) for each in optimizer.param_groups for one in each["params"]]
        for name in sorted({groups[one].name for one in held if one in groups}):
            found = {device: ALL_REDUCE(flag, "max", name) for device, flag in found.items()}
        return found

    GradScaler._unscale_grads_ = unscale  # type: ignore[method-assign, assignment]


def _count_in_norm(own: Any) -> None:

    @functools.wraps(own)
    def total(
        tensors: torch.Tensor | Iterable[torch.Tensor],
        norm_type: float = 2.0,
        error_if_nonfinite: bool = False,
        foreach: bool | None = None,
    ) -> torch.Tensor:
        given = [tensors] if isinstance(tensors, torch.Tensor) else list(tensors)
        groups = _groups_of_gradients()
        of_parts = [one for one in given if id(one) in groups]
        if not of_parts:
            found: torch.Tensor = own(given, norm_type, error_if_nonfinite, foreach)
            return found
        met = {groups[id(one)] for one in of_parts}
        if len(met) > 1:
            raise InputError("the norm of gradients of two process groups is asked for; clip each model by itself")
        with torch.no_grad():
            norm = _total(of_parts, [one for one in given if id(one) not in groups], float(norm_type), *met)
        if error_if_nonfinite and not torch.isfinite(norm):
            raise RuntimeError(f"The total norm of order {norm_type} of the gradients is non-finite (on all ranks)")
        return norm

    total._roam = True  # type: ignore[attr-defined]
    clip_grad._get_total_norm = total
    torch.nn.utils.get_total_norm = total


def _groups_of_gradients() -> dict[int, Group]:
    """For each gradient of a sharded model, by its id, the ranks that share it."""
    return {
        id(part.grad): group_of_shards(module)
        for module in list(sharded_modules)
        for part in module._parameters.values()
        if part is not None and part.grad is not None
    }


def _total(parts: list[torch.Tensor], others: list[torch.Tensor], order: float, group: Group) -> torch.Tensor:
    norms = torch.stack([torch.linalg.vector_norm(one, order) for one in parts])
    if order == float("inf"):
        norms = ALL_REDUCE(norms, "max", group.name)
    elif order > 0:
        norms = ALL_REDUCE(norms**order, "sum", group.name) ** (1.0 / order)
    else:
        raise InputError(f"the norm of order {order} of a sharded model's gradients is not known; give inf, or one > 0")
    whole = [torch.linalg.vector_norm(one, order).to(norms) for one in others]
    found: torch.Tensor = torch.linalg.vector_norm(torch.cat([norms, torch.stack(whole)]) if whole else norms, order)
    return found
