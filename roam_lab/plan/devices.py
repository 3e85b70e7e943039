"""Devices that a training step may run on: their memory, and how much of it a step cannot have."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

GIB = 2**30
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Files in which Linux says how much memory a container may take (cgroup versions 2 and 1)."""


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU, or the RAM of a machine. `overhead_bytes`: what a step cannot have: of a GPU the driver's context and
    kernels (an assumption), of a machine Python and PyTorch themselves. `price_per_hour`: in dollars, an example.
    `rates`: the GPU's name in `ir/roofline.py`."""

    name: str
    memory_bytes: int
    overhead_bytes: int = GIB
    price_per_hour: float | None = None
    rates: str | None = None

    @property
    def is_gpu(self) -> bool:
        """Whether it is a GPU: it has rates or a price, which a machine's RAM has not."""
        return self.rates is not None or self.price_per_hour is not None

    @property
    def room_bytes(self) -> int:
        """Bytes that a step can have; below 0 where the overhead alone is more than the memory."""
        return self.memory_bytes - self.overhead_bytes


DEVICES = (
    Device("T4 16 GB", 15 * GIB, price_per_hour=0.53, rates="t4"),
    Device("RTX 4090 24 GB", 24 * GIB, price_per_hour=0.70, rates="rtx4090"),
    Device("L4 24 GB", 22 * GIB, price_per_hour=0.80, rates="l4"),
    Device("A100 40 GB", 40 * GIB, price_per_hour=2.00, rates="a100-40gb"),
    Device("L40S 48 GB", 45 * GIB, price_per_hour=1.90, rates="l40s"),
    Device("A100 80 GB", 80 * GIB, price_per_hour=2.70, rates="a100"),
    Device("H100 80 GB", 80 * GIB, price_per_hour=4.00, rates="h100"),
    Device("H200 141 GB", 140 * GIB, price_per_hour=5.00, rates="h200"),
)
"""The GPUs that are compared by default. Memory is as the driver shows it, rounded down; prices are examples in
dollars, to be replaced by the user's own."""


def machine_bytes() -> int | None:
    """Bytes of RAM of this machine, or of what the container may take of it; None where the system does not say."""
    try:
        known = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, ValueError, OSError):  # not on this system
        return None
    for path in _LIMITS:
        try:
            known.append(int(path.read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return min(known)


def devices_for(device: str) -> tuple[Device, ...]:
    """DEVICES; for a step captured on the CPU (`device` "cpu") this machine first."""
    size = machine_bytes() if device.startswith("cpu") else None
    return DEVICES if size is None else (Device("this machine's RAM", size), *DEVICES)
