"""Where a training step may run: memory, and what of it is not the step's."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU: its memory, what the driver's context and kernels take of it (an assumption), a price to edit."""

    name: str
    memory_bytes: int
    overhead_bytes: int = GIB
    price_per_hour: float | None = None

    @property
    def room_bytes(self) -> int:
        """What a step can have of it; below 0 where the overhead alone is more."""
        return self.memory_bytes - self.overhead_bytes


DEVICES = (
    Device("T4 16 GB", 15 * GIB, price_per_hour=0.53),
    Device("RTX 4090 24 GB", 24 * GIB, price_per_hour=0.70),
    Device("L4 24 GB", 22 * GIB, price_per_hour=0.80),
    Device("A100 40 GB", 40 * GIB, price_per_hour=2.00),
    Device("L40S 48 GB", 45 * GIB, price_per_hour=1.90),
    Device("A100 80 GB", 80 * GIB, price_per_hour=2.70),
    Device("H100 80 GB", 80 * GIB, price_per_hour=4.00),
    Device("H200 141 GB", 140 * GIB, price_per_hour=5.00),
)
"""Memory as the driver shows it, rounded down; prices are examples in dollars, there to be replaced by one's own."""
