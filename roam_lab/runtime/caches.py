"""The size of a device's largest cache, as the system reports it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

UNKNOWN_CACHE_BYTES = 2**23
"""Taken where the system does not report it; less than most of today's processors have."""

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


@cache
def cache_bytes(where: torch.device) -> int:
    """Bytes of the largest cache of a GPU, or of the processor."""
    if where.type == "cuda":
        return int(torch.cuda.get_device_properties(where).L2_cache_size)
    try:
        sizes = [path.read_text().strip() for path in _CACHES.glob("index*/size")]
        return max(int(size.rstrip("KMG")) * _UNITS.get(size[-1:], 1) for size in sizes)
    except (OSError, ValueError):
        return UNKNOWN_CACHE_BYTES
