"""Every private name of torch that `distributed/` uses, each with what it is for; no other file here imports one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.distributed as dist
from torch.amp.grad_scaler import GradScaler
from torch.distributed import distributed_c10d
from torch.nn.utils import clip_grad
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

__all__ = [
    "FIRST_BUCKET_BYTES",
    "GradScaler",
    "TorchDispatchMode",
    "after_backward",
    "assign_buckets",
    "buffers_unversioned",
    "clip_grad",
    "group_named",
    "held_elsewhere",
    "in_accumulation",
    "is_dense",
    "moved_inputs",
    "pytree",
    "rows_by_rank",
    "without_modes",
]

# default limit of the bucket that is filled first
FIRST_BUCKET_BYTES: int = getattr(dist, "_DEFAULT_FIRST_BUCKET_BYTES", 2**20)

# the process group with a name
group_named: Callable[[Any], Any] = distributed_c10d._resolve_process_group  # type: ignore[attr-defined]

# cuts each of several tensors into the same number of parts along a dimension, padded with zeros; row r of the result
# is part r of all of them, end to end
rows_by_rank: Callable[[list[torch.Tensor], int, int], torch.Tensor] = torch._chunk_cat

# a context in which no dispatch mode is active
without_modes: Callable[[], AbstractContextManager[Any]] = _disable_current_modes


def held_elsewhere(storage: torch.UntypedStorage) -> bool:
    """Whether anything but this Python object refers to a storage."""
    return int(torch._C._storage_Use_Count(storage._cdata)) > 1


def in_accumulation() -> bool:
    """Whether autograd is just adding a gradient to a parameter's `grad`, or running a hook after that."""
    node = torch._C._current_autograd_node()
    return node is not None and node.name() == "torch::autograd::AccumulateGrad"


def buffers_unversioned(tensors: tuple[torch.Tensor, ...]) -> AbstractContextManager[Any]:
    """A context in which autograd does not notice writes into these tensors (their version counters stay)."""
    found: AbstractContextManager[Any] = torch.autograd._unsafe_preserve_version_counter(tensors)  # type: ignore[attr-defined]
    return found


def assign_buckets(tensors: Sequence[torch.Tensor], limits: Sequence[int], in_order: bool) -> list[list[int]]:
    """For each bucket the indices of its tensors. `limits`: the most bytes of each bucket; the last limit holds for all
    further ones. `in_order`: buckets follow the sequence of `tensors`; otherwise they are sorted by their first index.
    """
    assign: Any = dist._compute_bucket_assignment_by_size  # type: ignore[attr-defined]
    order = list(range(len(tensors))) if in_order else []
    groups: list[list[int]] = assign(list(tensors), list(limits), [False] * len(tensors), order)[0]
    return groups


def is_dense(tensor: torch.Tensor) -> bool:
    """Whether a tensor is dense and does not overlap itself: a permutation of a contiguous tensor's dimensions."""
    return bool(torch.ops.aten.is_non_overlapping_and_dense.default(tensor))


def after_backward(call: Callable[[], None]) -> None:
    """Have the backward pass that is running call `call` when it is over."""
    torch.autograd.Variable._execution_engine.queue_callback(call)


def moved_inputs(inputs: Any, kwargs: Any, device: torch.device, side_stream: bool) -> tuple[Any, Any]:
    """The inputs of a wrapped module moved to `device`, by the wrapper's own code."""
    import torch.distributed.utils

    moved, named = torch.distributed.utils._to_kwargs(inputs, kwargs, device, side_stream)
    return moved[0], named[0]
