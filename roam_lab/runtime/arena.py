"""The arena: one block of memory, and the tensors that are views of it at planned offsets."""

from __future__ import annotations

import mmap
from dataclasses import dataclass

import torch

from roam_lab.capture.torch_internals import with_negative_bit
from roam_lab.errors import RoamError

HUGE_PAGE = 2 * 2**20
"""Bytes of a huge page, to which an arena on the CPU is aligned."""


def allocate(size: int, device: torch.device) -> torch.Tensor:
    """A byte tensor of `size` bytes on `device`, not written yet; on the CPU in huge pages where the system has them.

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
        raise does_not_fit(size, device, error) from None


def does_not_fit(size: int, device: torch.device, error: Exception) -> RoamError:
    """The error for an arena that cannot be allocated; it says what the device's memory is taken by."""
    return RoamError(
        f"the arena of {size} bytes does not fit on {device}, {_who_holds(device)} "
        f"({str(error).splitlines()[0][:120]}); free memory there, or plan a smaller budget or a smaller batch"
    )


def _who_holds(device: torch.device) -> str:
    """A text that says what the device's memory is taken by."""
    if device.type != "cuda":
        import psutil  # type: ignore[import-untyped]

        memory, own = psutil.virtual_memory(), psutil.Process().memory_info().rss
        return f"where {_gib(memory.available)} of {_gib(memory.total)} are left and this process holds {_gib(own)}"
    free, total = torch.cuda.mem_get_info(device)
    used, reserved = torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)
    return (
        f"where {_gib(free)} of {_gib(total)} are free: this process's tensors hold {_gib(used)}, PyTorch keeps "
        f"{_gib(reserved - used)} for more of them, and {_gib(max(0, total - free - reserved))} are held by others"
    )


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"


@dataclass(frozen=True, slots=True)
class Form:
    """A tensor's shape, dtype and place in its storage. `strides`, `offset`: in elements. `conj`, `neg`: torch's bits
    for views that conjugate or negate."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype
    offset: int
    conj: bool
    neg: bool

    @classmethod
    def of(cls, tensor: torch.Tensor) -> Form:
        """The form of a tensor, real or fake."""
        return cls(
            tuple(int(size) for size in tensor.shape),
            tuple(int(stride) for stride in tensor.stride()),
            tensor.dtype,
            int(tensor.storage_offset()),
            tensor.is_conj(),
            tensor.is_neg(),
        )


def view_at(storage: torch.UntypedStorage, byte_offset: int, like: Form) -> torch.Tensor:
    """A tensor of the form `like`, `byte_offset` into `storage`.

    The offset is absolute: `like`'s own offset, counted from the start of its storage, is added to it.
    """
    offset = byte_offset // like.dtype.itemsize + like.offset
    with torch.no_grad():
        view = torch.empty(0, dtype=like.dtype, device=storage.device).set_(storage, offset, like.shape, like.strides)
        view = view.conj() if like.conj else view
        return with_negative_bit(view) if like.neg else view
