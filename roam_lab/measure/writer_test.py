"""Tests, on the real arguments of an eager step, whether an op's writer gives the bits of the op itself.

Some `out=` kernels write garbage where a tensor has unusual strides, or give the tensor other memory. Each op is tried
once for each combination of shapes and strides; an op whose writer fails is noted, and allocates its own result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from roam_lab.capture.hand_made import is_copied
from roam_lab.capture.torch_internals import below_autograd, pytree, without_modes
from roam_lab.capture.writers import geometry, has_strides, note_untrue, writer_for
from roam_lab.distributed.collectives import starts_exchange

MOST_BYTES = 16 * 2**20
"""Larger results are not tried, as that would take as much memory again."""
_tried: set[tuple[Any, ...]] = set()


def try_writer(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
    """Run the writer of `func` on copies of these arguments, and note the op as one without a writer if that does not
    give the bits of `result`."""
    if torch.Tag.nondeterministic_seeded in func.tags or func._schema.is_mutable or starts_exchange(func):
        return  # other ranks would have to try it, too
    results = list(result) if isinstance(result, list | tuple) else [result]
    leaves = pytree.arg_tree_leaves(*args, **kwargs)
    given = [one for one in leaves if isinstance(one, torch.Tensor)]
    if not all(isinstance(one, torch.Tensor) and has_strides(one) for one in (*results, *given)):
        return
    if sum(one.untyped_storage().nbytes() for one in results) > MOST_BYTES:
        return
    key = (func, geometry(leaves))
    if key in _tried:
        return
    _tried.add(key)
    writer = writer_for(func, args, result)
    if writer is None or writer.function is None or func._schema.name.startswith("aten::_foreach_"):
        return
    if is_copied(func, results[0].device.type):
        return  # it is the op itself
    with without_modes(), below_autograd():
        if not _is_true(func, writer, args, kwargs, results):
            note_untrue(func, leaves)


def _is_true(func: Any, writer: Any, args: Sequence[Any], kwargs: Mapping[str, Any], results: list[Any]) -> bool:
    places = [_garbage(one) for one in results]
    addresses = [place.data_ptr() for place in places]
    args = _with_own_statistics(func, args)
    try:
        if writer.names:
            writer.function(*args, **kwargs, **dict(zip(writer.names, places, strict=True)))
        else:
            writer.function(tuple(places), *args, **kwargs)
    except (RuntimeError, TypeError, ValueError):
        return False
    return all(
        place.data_ptr() == address
        and place.shape == one.shape
        and place.stride() == one.stride()
        and _same(place, one)
        for place, address, one in zip(places, addresses, results, strict=True)
    )


def _garbage(like: torch.Tensor) -> torch.Tensor:
    """A tensor of the same form whose bytes are all 255, so that what is not written shows."""
    memory = torch.full(((_last(like) + 1) * like.element_size(),), 255, dtype=torch.uint8, device=like.device)
    return torch.empty(0, dtype=like.dtype, device=like.device).set_(
        memory.untyped_storage(), 0, tuple(like.shape), tuple(like.stride())
    )


def _last(tensor: torch.Tensor) -> int:
    return sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if size > 1)


def _same(left: torch.Tensor, right: torch.Tensor) -> bool:
    a, b = (one.resolve_conj().resolve_neg().contiguous().reshape(-1) for one in (left, right))
    return a.numel() == 0 or torch.equal(a.view(torch.uint8), b.view(torch.uint8))


def _with_own_statistics(func: Any, args: Sequence[Any]) -> list[Any]:
    """The arguments with copies of the running statistics of batch norm, which the op writes though its schema does not
    say so."""
    names = [argument.name for argument in func._schema.arguments]
    return [
        one.clone() if name.startswith("running_") and isinstance(one, torch.Tensor) else one
        for name, one in zip(names, args, strict=False)
    ]
