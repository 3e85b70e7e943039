"""The user's step with another batch size, sequence length, dtype or optimizer, to be captured without changing the
user's own objects."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch

from roam_lab.capture.batch_size import batch_size_of
from roam_lab.capture.sequence_length import sequence_length_of
from roam_lab.capture.variants import variant
from roam_lab.errors import InputError


def changed(
    made: Mapping[str, Any], batch: int | None, sequence: int | None, dtype: str | None, optimizer: str | None
) -> dict[str, Any]:
    """A copy of `made` (model, optimizer, batch and, optionally, loss and step) in which every argument that is not
    None is applied, for a capture on fakes. A model of another dtype is a copy on the meta device. Raises InputError.
    """
    own = dict(made)
    if own.get("optimizer") is None:
        own["optimizer"] = torch.optim.AdamW(own["model"].parameters())
    if dtype is not None:
        own["model"], own["optimizer"] = _without_weights(own["model"], own["optimizer"])
    return variant(own, batch, sequence, dtype, optimizer)


def present_of(model: torch.nn.Module, batch: Any) -> dict[str, Any]:
    """The present values of what `changed` can change: {"batch": 8, "sequence": None, "dtype": "float32"}."""
    try:
        rows: int | None = batch_size_of(batch)
    except InputError:
        rows = None
    kinds = {tensor.dtype for tensor in model.parameters() if tensor.is_floating_point()}
    dtype = str(kinds.pop()).removeprefix("torch.") if len(kinds) == 1 else None
    return {"batch": rows, "sequence": sequence_length_of(batch), "dtype": dtype}


def _without_weights(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """A copy of the model on the meta device, and an optimizer of the same kind and settings over its parameters."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise InputError("the dtype cannot be changed with several optimizers; make the model so and profile it")
    tensors = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    memo: dict[int, Any] = {key: _empty(tensor) for key, tensor in tensors.items()}
    twins = {key: memo[key] for key in tensors}
    try:
        twin = copy.deepcopy(model, memo)
    except Exception as error:
        raise InputError(
            f"the model cannot be copied ({type(error).__name__}: {error}); make one of that dtype and profile it"
        ) from None
    groups = []
    for group in optimizer.param_groups:
        missing = [one for one in group["params"] if id(one) not in twins]
        if missing:
            raise InputError("the optimizer has parameters that are not the model's; make a model so and profile it")
        groups.append({**group, "params": [twins[id(one)] for one in group["params"]]})
    kind: Any = type(optimizer)  # each kind has settings of its own, which are in the groups
    return twin, kind(groups)


def _empty(tensor: torch.Tensor) -> torch.Tensor:
    empty = torch.empty_like(tensor, device="meta", requires_grad=False)
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(empty, tensor.requires_grad)
    return empty.requires_grad_(tensor.requires_grad)
