"""Stage 7: memory through torch.cuda.MemPool: the arena, and an op's own result at the address that a plan chose."""

from __future__ import annotations

import ctypes
from typing import Any

import torch

from benchmarks.cuda.child import Cell
from benchmarks.cuda.device import identical
from roam_lab.runtime.identity import digest

ROWS, WORDS, WIDTH = 512, 20_000, 256


def run(cell: Cell) -> None:
    """Parts: arena (a pool of its own gives one address again and again), callback (an allocator that answers with
    planned addresses: no compiler is needed)."""
    with cell.part("arena") as line:
        line |= _arena()
    with cell.part("callback") as line:
        line |= _callback()


def _arena() -> dict[str, Any]:
    pool, addresses = torch.cuda.MemPool(), []
    for _ in range(3):
        with torch.cuda.use_mem_pool(pool):
            arena = torch.empty(64 * 2**20, dtype=torch.uint8, device="cuda")
        addresses.append(arena.data_ptr())
        del arena
    return {"one_address": len(set(addresses)) == 1, "aligned_to_512": addresses[0] % 512 == 0}


def _callback() -> dict[str, Any]:
    """`embedding_dense_backward` has no place to write to; here it is called with a pool that gives it one."""
    gradient = torch.randn(ROWS, WIDTH, device="cuda")
    indices = torch.randint(0, WORDS, (ROWS,), device="cuda")

    def call() -> torch.Tensor:
        return torch.ops.aten.embedding_dense_backward(gradient, indices, WORDS, -1, False)

    expected = digest(call())
    arena = torch.empty(64 * 2**20, dtype=torch.uint8, device="cuda")
    planned = (arena.data_ptr() // 2**21 + 1) * 2**21  # never the arena's own address, which has its own entry
    asked: list[int] = []

    def allocate(size: int, device: int, stream: int) -> int:
        asked.append(size)
        return planned if len(asked) == 1 else 0

    malloc = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p)(allocate)
    free = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p)(lambda *_: None)
    addresses = [ctypes.cast(function, ctypes.c_void_p).value for function in (malloc, free)]
    allocator = torch._C._cuda_customAllocator(*addresses)
    pool = torch.cuda.MemPool(allocator)
    places = []
    for _ in range(3):
        with torch.cuda.use_mem_pool(pool):
            result = call()
        places.append(result.data_ptr() == planned)
        found = digest(result)
        del result
    return {"at_planned_address": places, "asked_bytes": asked, **identical(lambda: found == expected)}
