"""The arena: one block of memory, and the tensors that are views of it at planned offsets."""

from __future__ import annotations

import mmap

import torch

from roam_lab.errors import RoamError
from roam_lab.ir import Graph
from roam_lab.plan.plan import Plan

HUGE_PAGE = 2 * 2**20
"""Bytes; also the alignment of an arena made of such pages."""


def arena_bytes(plan: Plan, graph: Graph) -> int:
    """Bytes of the arena proper: the part of `plan.arena_bytes` below the region of external storages."""
    return max(
        (plan.offsets[index] + storage.bytes for index, storage in enumerate(graph.storages) if not storage.external
         and index in plan.offsets),
        default=0,
    )  # fmt: skip


def allocate(size: int, device: torch.device) -> torch.Tensor:
    """`size` bytes on `device`, not touched yet; on the CPU in huge pages where the system has them.

    Raises RoamError when they do not fit.
    """
    try:
        if device.type == "cpu" and hasattr(mmap, "MADV_HUGEPAGE") and size >= HUGE_PAGE:
            block = mmap.mmap(-1, size + HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            block.madvise(mmap.MADV_HUGEPAGE)
            whole = torch.frombuffer(block, dtype=torch.uint8)
            start = -whole.data_ptr() % HUGE_PAGE
            return whole[start : start + size]
        return torch.empty(size, dtype=torch.uint8, device=device)
    except (RuntimeError, MemoryError, OSError) as error:
        raise RoamError(
            f"the arena of {size} bytes does not fit on {device} ({str(error).splitlines()[0][:120]}); "
            "free memory there, or plan a smaller batch"
        ) from None


def view_at(storage: torch.UntypedStorage, byte_offset: int, like: torch.Tensor) -> torch.Tensor:
    """A tensor of the shape, strides and dtype of `like` (a fake), `byte_offset` into `storage`.

    The offset is absolute: `like`'s own storage offset, counted from the start of its storage, is added to it.
    """
    offset = byte_offset // like.element_size() + int(like.storage_offset())
    with torch.no_grad():
        view = torch.empty(0, dtype=like.dtype, device=storage.device).set_(
            storage, offset, tuple(like.shape), tuple(like.stride())
        )
        view = view.conj() if like.is_conj() else view
        return torch._neg_view(view) if like.is_neg() else view
