"""Bit identity of two training runs: digests of every value that a run leaves, and sentences on what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from roam_lab.capture import OptimizerOrSeveral, optimizers_of
from roam_lab.capture.sources.digest import digest, raw_bytes
from roam_lab.capture.torch_internals import pytree
from roam_lab.capture.writers import has_strides

__all__ = [
    "Digests",
    "digest",
    "digest_each",
    "digests",
    "first_differences",
    "named_values",
    "raw_bytes",
    "told_difference",
]

Digests = dict[str, str]
"""Name of a value -> its dtype, shape and the SHA-256 of its bytes; for a Python number its type and exact text."""


def named_values(model: torch.nn.Module, optimizer: OptimizerOrSeveral) -> Iterator[tuple[str, Any]]:
    """Every parameter, buffer, optimizer-state value and group setting, with a name that a user can look up."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for name, parameter in model.named_parameters():
        yield f"parameter {name}", parameter
    for name, buffer in model.named_buffers():
        yield f"buffer {name}", buffer
    optimizers = optimizers_of(optimizer)
    for number, one in enumerate(optimizers):
        title = "optimizer" if len(optimizers) == 1 else f"optimizer {number}"
        for index, group in enumerate(one.param_groups):
            for position, parameter in enumerate(group["params"]):
                owner = names.get(id(parameter), f"group {index} parameter {position}")
                if id(parameter) not in names:
                    yield f"parameter of {title} {owner}", parameter
                yield from _leaves(f"{title} state {owner}", one.state.get(parameter, {}))
            for key, value in group.items():
                if key != "params":
                    yield from _leaves(f"{title} group {index} {key}", value)


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(f"{name}.{key}", item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _leaves(f"{name}[{index}]", item)
    elif isinstance(value, torch.Tensor | int | float | complex | str) or value is None:
        yield name, value


def values_of(result: Any) -> Iterator[tuple[str, Any]]:
    """(name, value) of every leaf of what a step returned."""
    leaves = pytree.tree_leaves(result)
    for index, leaf in enumerate(leaves):
        yield "loss" if len(leaves) == 1 else f"result {index}", leaf


def detached(result: Any) -> Any:
    """What a step returned, with all tensors detached."""
    return pytree.tree_map_only(torch.Tensor, no_view, result)


def no_view(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, detached, as one that is no view, so that its user may detach it in place: as of a loss or a gradient
    that eager leaves."""
    plain = type(tensor) is torch.Tensor and has_strides(tensor)
    if not plain or tensor.is_quantized or tensor.is_conj() or tensor.is_neg() or tensor.is_inference():
        return tensor.detach()
    own = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
    return own.set_(tensor.untyped_storage(), tensor.storage_offset(), tensor.shape, tensor.stride())


def results_named(results: Sequence[Any]) -> dict[str, Any]:
    """Name -> value of every leaf of what several steps returned."""
    return {
        f"{name} of step {index + 1}": leaf for index, result in enumerate(results) for name, leaf in values_of(result)
    }


def digest_each(values: Mapping[str, Any]) -> Digests:
    """`digest` of each value."""
    return {name: digest(value) for name, value in values.items()}


def digests(model: torch.nn.Module, optimizer: OptimizerOrSeveral) -> Digests:
    """`digest` of every one of `named_values`; takes a copy of one tensor at a time."""
    return {name: digest(value) for name, value in named_values(model, optimizer)}


def first_differences(
    left: Mapping[str, str],
    right: Mapping[str, str],
    amount: Callable[[str], str] | None = None,
    *,
    left_name: str = "eager",
    right_name: str = "planned",
    most: int = 5,
) -> tuple[str, ...]:
    """Sentences on the values that differ, in the left's order; at most `most` and one that counts the others.

    `amount(name)` says by how much a value differs that has one dtype and shape on both sides; it is called for the
    first such value only, as it may have to run both sides again.
    """
    sentences: list[str] = []
    asked = False
    names = [*left, *(name for name in right if name not in left)]
    differing = [name for name in names if left.get(name) != right.get(name)]
    for name in differing[:most]:
        if name not in right:
            sentences.append(f"{name} is there after the {left_name} run only")
        elif name not in left:
            sentences.append(f"{name} is there after the {right_name} run only")
        else:
            first, second = left[name].rpartition(" ")[0], right[name].rpartition(" ")[0]
            if not _tensor_digest(left[name]) or not _tensor_digest(right[name]) or first != second:
                sentences.append(
                    f"{name} differs: {left_name} {_short(left[name])}, {right_name} {_short(right[name])}"
                )
            elif amount is None or asked:
                sentences.append(f"{name} differs")
            else:
                asked = True
                sentences.append(f"{name} differs {amount(name)}".rstrip())
    if len(differing) > most:
        sentences.append(f"and {len(differing) - most} more of {len(names)} values differ")
    return tuple(sentences)


def told_difference(left: torch.Tensor, right: torch.Tensor) -> str:
    """By how much two tensors of one dtype and shape differ, in words."""
    size = left.element_size()
    unequal = (raw_bytes(left).reshape(-1, size) != raw_bytes(right).reshape(-1, size)).any(axis=1)
    count = int(unequal.sum())
    if not count:
        return "in no element"
    wide = torch.complex128 if left.is_complex() else torch.float64
    apart = (left.detach().cpu().to(wide) - right.detach().cpu().to(wide)).abs().reshape(-1)[torch.from_numpy(unequal)]
    most = float(torch.nan_to_num(apart, nan=float("inf")).max())
    return f"in {count:,} of {left.numel():,} elements, at most by {most:.3g}"


def _tensor_digest(text: str) -> bool:
    return len(text.rpartition(" ")[2]) == 64


def _short(text: str) -> str:
    return text.rpartition(" ")[0] if _tensor_digest(text) else text
