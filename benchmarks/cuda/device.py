"""The device under test: what it is called, what it holds, what the fake one cannot do."""

from __future__ import annotations

import ctypes
import subprocess
import time
from collections.abc import Callable
from typing import Any

FAKE = "fake device"
"""What tests/fake_cuda/device is called in every line. Its figures are not CUDA's."""
NO_BITS = "not compared: kernels of the fake device compute nothing"


class NotPossible(Exception):  # noqa: N818  # no error: a finding
    """What this device, or what is installed here, cannot do; the message says why."""


def is_fake() -> bool:
    """Whether the fake device's library is loaded, or the device says so itself."""
    if hasattr(ctypes.CDLL(None), "fake_launches"):
        return True
    import torch

    return "FAKE" in torch.cuda.get_device_name().upper()


def label() -> str:
    """What every line calls the device."""
    import torch

    return FAKE if is_fake() else torch.cuda.get_device_name()


def prepare() -> None:
    """Before anything runs in a process: cuDNN's kernels crash on the fake device, so the native ones run."""
    import torch

    if is_fake():
        torch.backends.cudnn.enabled = False
        torch.backends.cuda.enable_cudnn_sdp(False)


def identical(same: Callable[[], bool]) -> dict[str, Any]:
    """`{"identical": ...}` of a comparison, which is not made where the device computes nothing."""
    if is_fake():
        return {"identical": None, "bits": NO_BITS}
    return {"identical": same()}


def driver_bytes() -> int:
    """Bytes in use on the device, by the driver: contexts, kernels and other processes included."""
    import torch

    free, total = torch.cuda.mem_get_info()
    return total - free


def bytes_by_nvidia_smi() -> int | None:
    """Bytes in use without a context of our own; None where nvidia-smi is not found or does not answer."""
    asked = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True).stdout
        return int(said.split()[0]) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def start_measuring() -> None:
    """Free blocks go back to the device, and peaks begin anew."""
    import gc

    import torch

    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


def peaks() -> dict[str, int]:
    """The most bytes since `start_measuring`: asked for by tensors, in blocks, in segments; and the driver's, now.

    `workspaces_bytes`: what cuBLAS holds in all of them, a workspace a thread. It is given back here.
    """
    import torch

    torch.cuda.synchronize()
    found = torch.cuda.memory_stats()
    named = {"requested": "requested_bytes", "allocated": "allocated_bytes", "reserved": "reserved_bytes"}
    most = {f"{name}_bytes": int(found.get(f"{key}.all.peak", 0)) for name, key in named.items()}
    driver, held = driver_bytes(), torch.cuda.memory_allocated()
    torch._C._cuda_clearCublasWorkspaces()
    return {**most, "driver_bytes": driver, "workspaces_bytes": held - torch.cuda.memory_allocated()}


def times(step: Callable[[], object], steps: int, warm_up: int = 2) -> dict[str, Any]:
    """Milliseconds a step: the median by events around each (which the fake device cannot tell), by the wall over all,
    and of the host until everything was handed over."""
    import torch

    for _ in range(warm_up):
        step()
    events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(steps)]
    torch.cuda.synchronize()
    began = time.perf_counter()
    for first, last in events:
        first.record()
        step()
        last.record()
    handed_over = time.perf_counter() - began
    torch.cuda.synchronize()
    wall = time.perf_counter() - began
    by_events = sorted(first.elapsed_time(last) for first, last in events)
    return {
        "events_ms": None if is_fake() else round(by_events[len(by_events) // 2], 3),
        "wall_ms": round(1e3 * wall / steps, 3),
        "host_ms": round(1e3 * handed_over / steps, 3),
        "steps": steps,
    }


def launches(step: Callable[[], object]) -> int:
    """Kernel launches of one step: the fake device's count, or the profiler's."""
    import torch

    if is_fake():
        count = ctypes.CDLL(None).fake_launches
        count.restype = ctypes.c_long
        before = count()
        step()
        return int(count() - before)
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        step()
        torch.cuda.synchronize()
    return sum(one.count for one in profiled.key_averages() if "LaunchKernel" in one.key)


def lost(error: BaseException) -> bool:
    """Whether the context is beyond use after `error`, so that the process has to end."""
    text = str(error)
    return any(sign in text for sign in ("illegal memory access", "device-side assert", "misaligned address",
                                         "unspecified launch failure", "CUDA error: an illegal"))  # fmt: skip
