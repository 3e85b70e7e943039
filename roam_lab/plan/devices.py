"""Where a training step may run: memory, and what of it is not the step's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

GIB = 2**30
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where Linux says how much of the machine a container may take, in its second and its first version."""


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU: its memory, what the driver's context and kernels take of it (an assumption), a price to edit, and the
    name of its rates in `ir/roofline.py`. Or a machine: its RAM, what Python and PyTorch themselves take of it."""

    name: str
    memory_bytes: int
    overhead_bytes: int = GIB
    price_per_hour: float | None = None
    rates: str | None = None

    @property
    def is_gpu(self) -> bool:
        """Whether it has rates or a price; a machine's RAM has neither."""
        return self.rates is not None or self.price_per_hour is not None

    @property
    def room_bytes(self) -> int:
        """What a step can have of it; below 0 where the overhead alone is more."""
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
"""Memory as the driver shows it, rounded down; prices are examples in dollars, there to be replaced by one's own."""


def machine_bytes() -> int | None:
    """The RAM of this machine, or what a container may take of it; None where the system does not tell."""
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
    """DEVICES; before them this machine, for a step that was captured on its CPU."""
    size = machine_bytes() if device.startswith("cpu") else None
    return DEVICES if size is None else (Device("this machine's RAM", size), *DEVICES)
