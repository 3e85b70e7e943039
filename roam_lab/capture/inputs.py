"""What enters a training step: model tensors, optimizer state and settings, batch; and their fakes to trace with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import _pytree as pytree

from roam_lab.capture.prime import numeric_settings
from roam_lab.errors import CaptureError

Kind = Literal["parameter", "buffer", "state", "setting", "batch"]


@dataclass(frozen=True, slots=True)
class Input:
    """One input of the step: where its value is found again in every later step.

    `path`: (name,) of a parameter or buffer; (parameter name, key) of optimizer state; (group index, key, part or
    None) of a group's setting; (leaf index,) of the batch.
    """

    kind: Kind
    path: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.kind} {'.'.join(str(part) for part in self.path if part is not None)}"


def batch_leaves(batch: Any) -> list[Any]:
    """The leaves of a batch (tensors and others), in the one order that every part of capture and runtime uses.

    Mappings that pytree does not know (transformers' BatchEncoding) are opened as plain dicts.
    """
    if not pytree.is_namedtuple_instance(batch) and hasattr(batch, "keys") and not isinstance(batch, dict):
        batch = {key: batch[key] for key in batch}
    return pytree.tree_leaves(batch)


def batch_signature(batch: Any) -> str:
    """What must agree for a plan to fit a batch: dtype, shape and device of tensors, anything else as it is."""
    return ", ".join(
        f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}@{value.device.type}"
        if isinstance(value, torch.Tensor)
        else repr(value)[:200]
        for value in batch_leaves(batch)
    )


def model_digest(model: torch.nn.Module) -> str:
    """SHA-256 of what must agree for a plan to fit a model: names, shapes, dtypes and trainability of its tensors."""
    named = [*model.named_parameters(), *model.named_buffers()]
    lines = [f"{name} {tensor.dtype} {list(tensor.shape)} {tensor.requires_grad}" for name, tensor in named]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def parameter_names(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[int, str]:
    """id(parameter) -> name. Raises CaptureError when the optimizer holds parameters that the model does not."""
    names = {id(p): name for name, p in model.named_parameters()}
    foreign = [p for group in optimizer.param_groups for p in group["params"] if id(p) not in names]
    if foreign:
        raise CaptureError(
            f"the optimizer holds {len(foreign)} parameter(s) that are not the model's, the first of shape "
            f"{tuple(foreign[0].shape)}; build it from this model's parameters() (after any .to() or deepcopy)"
        )
    if not any(p.requires_grad for group in optimizer.param_groups for p in group["params"]):
        raise CaptureError("no parameter of the optimizer is trainable; set requires_grad_(True) on some")
    return names


def state_inputs(optimizer: torch.optim.Optimizer, names: dict[int, str]) -> Iterator[tuple[Input, torch.Tensor]]:
    """Every tensor of the optimizer's state."""
    for group in optimizer.param_groups:
        for p in group["params"]:
            for key, value in optimizer.state.get(p, {}).items():
                if isinstance(value, torch.Tensor):
                    yield Input("state", (names[id(p)], key)), value


def setting_inputs(optimizer: torch.optim.Optimizer) -> Iterator[tuple[Input, Any]]:
    """Every float or tensor setting of every parameter group."""
    for index, group in enumerate(optimizer.param_groups):
        for key, value in numeric_settings(group).items():
            parts = enumerate(value) if isinstance(value, tuple) else [(None, value)]
            for part, number in parts:
                yield Input("setting", (index, key, part)), number
        for key, value in group.items():
            if isinstance(value, torch.Tensor):
                yield Input("setting", (index, key, None)), value


def read_setting(optimizer: torch.optim.Optimizer, path: tuple[Any, ...]) -> Any:
    """The present value of a setting input."""
    index, key, part = path
    value = optimizer.param_groups[index][key]
    return value if part is None else value[part]


class Fakes:
    """Fake twins of real (or meta, or foreign fake) tensors; the same tensor always gets the same twin."""

    def __init__(self, mode: FakeTensorMode, device: torch.device | None) -> None:
        self.mode = mode
        self.device = device
        self._twins: dict[int, torch.Tensor] = {}
        self._kept: list[torch.Tensor] = []

    def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
        twin = self._twins.get(id(tensor))
        if twin is None:
            twin = self._make(tensor)
            self._twins[id(tensor)] = twin
            self._kept.append(tensor)
        return twin

    def _make(self, tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, FakeTensor) and tensor.device.type != "meta":
            return self.mode.from_tensor(tensor, static_shapes=True)
        device = self.device if tensor.device.type == "meta" and self.device is not None else tensor.device
        with self.mode:
            twin = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
            if isinstance(tensor, torch.nn.Parameter):
                twin = torch.nn.Parameter(twin, requires_grad=tensor.requires_grad)
        return twin
