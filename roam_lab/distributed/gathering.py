"""The ops by which ranks exchange parts of parameters. Each returns a new tensor, and the exchange is over by then.

`roam_ranks.gather(part, ranks, group)` concatenates the parts of all ranks along the first dimension.
`roam_ranks.reduce_scatter(parts, ranks, group)` adds up the tensors of all ranks, and returns this rank's part of the
sum. `roam_ranks.all_reduce(tensor, operation, group)` is the sum, or the largest ("max"), of all ranks. `group`: the
name of their process group. Unlike the ops of the library `roam_lab`, they run in the eager step, too, so that a
capture can be compared with it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist

from roam_lab.distributed.torch_internals import group_named

_library = torch.library.Library("roam_ranks", "DEF")
_SIGNATURES = {
    "gather": "Tensor part, int ranks, str group",
    "reduce_scatter": "Tensor parts, int ranks, str group",
    "all_reduce": "Tensor tensor, str operation, str group",
}
# names since torch 2.13, and those before
_gather_into: Any = getattr(dist, "all_gather_single", dist.all_gather_into_tensor)
_scatter_into: Any = getattr(dist, "reduce_scatter_single", dist.reduce_scatter_tensor)
_OPERATIONS = {"sum": dist.ReduceOp.SUM, "max": dist.ReduceOp.MAX}


def _gather(part: torch.Tensor, ranks: int, group: str, *, out: torch.Tensor) -> torch.Tensor:
    _gather_into(out, part.contiguous(), group=group_named(group))
    return out


def _reduce_scatter(parts: torch.Tensor, ranks: int, group: str, *, out: torch.Tensor) -> torch.Tensor:
    _scatter_into(out, parts.contiguous(), op=dist.ReduceOp.SUM, group=group_named(group))
    return out


def _all_reduce(tensor: torch.Tensor, operation: str, group: str, *, out: torch.Tensor) -> torch.Tensor:
    out.copy_(tensor)
    dist.all_reduce(out, _OPERATIONS[operation], group_named(group))
    return out


def _empty_gathered(part: torch.Tensor, ranks: int, group: str) -> torch.Tensor:
    return part.new_empty((part.shape[0] * ranks, *part.shape[1:]))


def _empty_scattered(parts: torch.Tensor, ranks: int, group: str) -> torch.Tensor:
    return parts.new_empty((parts.shape[0] // ranks, *parts.shape[1:]))


def _empty_like(tensor: torch.Tensor, operation: str, group: str) -> torch.Tensor:
    return torch.empty_like(tensor, memory_format=torch.contiguous_format)


def _define(name: str, into: Any, empty: Any) -> Any:
    """Define an op `name` and its `out=` overload. `into`: writes the result into `out`; `empty`: allocates a tensor of
    the result's shape. Returns the op."""

    def run(*args: Any) -> torch.Tensor:
        result: torch.Tensor = into(*args, out=empty(*args))
        return result

    _library.define(f"{name}({_SIGNATURES[name]}) -> Tensor")
    _library.define(f"{name}.out({_SIGNATURES[name]}, *, Tensor(a!) out) -> Tensor(a!)")
    for device in ("CPU", "CUDA"):
        _library.impl(name, run, device)
        _library.impl(f"{name}.out", into, device)
    torch.library.register_fake(f"roam_ranks::{name}", empty, lib=_library)
    return getattr(torch.ops.roam_ranks, name).default


GATHER = _define("gather", _gather, _empty_gathered)
REDUCE_SCATTER = _define("reduce_scatter", _reduce_scatter, _empty_scattered)
ALL_REDUCE = _define("all_reduce", _all_reduce, _empty_like)

OPS = frozenset({GATHER, REDUCE_SCATTER, ALL_REDUCE})
