"""Stage 1: versions, the device, and what its context and the libraries' first calls take of its memory."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.cuda.child import Cell
from benchmarks.cuda.device import NotPossible, bytes_by_nvidia_smi, driver_bytes
from benchmarks.machine import described


def run(cell: Cell) -> None:
    """Parts: memory (first, while no context is there), properties, versions."""
    before = bytes_by_nvidia_smi()
    with cell.part("memory") as line:
        line["before_context_bytes"] = before
        if before is None:
            line["reason"] = "nvidia-smi is not found or gives no answer: what others hold on the device is not known"
        torch.empty(1, device="cuda")
        line["after_context_bytes"] = driver_bytes()
        line |= _after_first_calls(cell)
    with cell.part("properties") as line:
        line |= _properties()
    with cell.part("versions") as line:
        line |= described("cuda")
        del line["command"]
        line["machine"]["device"] = cell.device
        line |= {"cuda": torch.version.cuda, "cudnn": None if cell.fake else torch.backends.cudnn.version()}


def _after_first_calls(cell: Cell) -> dict[str, int]:
    found = {}
    a = torch.ones(64, 64, device="cuda")
    for name, call in {
        "matmul": lambda: a @ a,
        "convolution": lambda: torch.conv2d(a.view(1, 1, 64, 64), a[:3, :3].reshape(1, 1, 3, 3)),
        "sdpa": lambda: torch.nn.functional.scaled_dot_product_attention(*[a.view(1, 1, 64, 64)] * 3),
    }.items():
        call()
        torch.cuda.synchronize()
        found[f"after_{name}_bytes"] = driver_bytes()
    return found


def _properties() -> dict[str, Any]:
    found = torch.cuda.get_device_properties(0)
    if found.total_memory <= 0:
        raise NotPossible("the device does not say how much memory it has")
    return {
        "name": found.name,
        "capability": f"{found.major}.{found.minor}",
        "total_bytes": found.total_memory,
        "multiprocessors": found.multi_processor_count,
        "l2_bytes": found.L2_cache_size,
        "driver_total_bytes": torch.cuda.mem_get_info()[1],
    }
