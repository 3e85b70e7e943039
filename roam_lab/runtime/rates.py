"""Measured rates of a device, by which ops are costed that were not timed themselves."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from statistics import median

import torch

from roam_lab.ir import Graph
from roam_lab.ir.graph import Device
from roam_lab.runtime.caches import cache_bytes

COPIED_BYTES = 2**27
"""Bytes of the copy that is timed: more than caches hold, so that memory is measured."""
PRODUCT = 1024
"""Rows and columns of the matrices whose product is timed."""
SMALL_CALLS = 200
TRIES = 5


def measured_device(where: torch.device, graph: Graph) -> Device:
    """The rates of the device `where`, with torch's present number of threads: bytes per second by a copy (reads and
    writes both count), flops per second by a matrix product in the narrowest float type that `graph` uses, the launch
    of an op by small ops.

    The cache's size is what the system reports. `fused_share` is 1.0: the gain of fused chains differs from chain to
    chain, and is measured apart (docs/fusing.md).
    """
    names = {storage.dtype for storage in graph.storages}
    dtype = next((getattr(torch, name) for name in ("float16", "bfloat16") if name in names), torch.float32)
    return _measured(where, dtype, torch.get_num_threads())


@cache
def _measured(where: torch.device, dtype: torch.dtype, _threads: int) -> Device:
    source = torch.ones(COPIED_BYTES // 4, device=where)
    target = torch.empty_like(source)
    copy = _seconds(where, lambda: target.copy_(source))
    host = copy
    if where.type == "cuda":
        pinned = torch.empty(COPIED_BYTES // 4, pin_memory=True)
        host = 2 * _seconds(where, lambda: pinned.copy_(source, non_blocking=True))  # bytes cross the link once only
    left = torch.full((PRODUCT, PRODUCT), 0.5, dtype=dtype, device=where)  # draws none of the user's random numbers
    right, product = torch.ones_like(left), torch.empty_like(left)
    multiply = _seconds(where, lambda: torch.mm(left, right, out=product))
    small = torch.ones(1, device=where)

    def several() -> None:
        for _ in range(SMALL_CALLS):
            torch.add(small, small, out=small)

    return Device(
        flops_per_s=round(2 * PRODUCT**3 / multiply),
        bytes_per_s=round(2 * COPIED_BYTES / copy),
        launch_us=round(1e6 * _seconds(where, several) / SMALL_CALLS, 3),
        cache_bytes=cache_bytes(where),
        host_bytes_per_s=round(2 * COPIED_BYTES / host),
    )


def _seconds(where: torch.device, work: Callable[[], object]) -> float:
    """Seconds of `work`, the median of TRIES runs after one that warms up."""
    found = []
    for _ in range(TRIES + 1):
        if where.type == "cuda":
            torch.cuda.synchronize(where)
        began = time.perf_counter()
        work()
        if where.type == "cuda":
            torch.cuda.synchronize(where)
        found.append(time.perf_counter() - began)
    return median(found[1:])
