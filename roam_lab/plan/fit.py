"""Will it fit? Memory of a step over its batch size, and the largest batch that each GPU holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

Run = Literal["eager", "planned"]
RUNS: tuple[Run, ...] = ("eager", "planned")
GIB = 2**30
MOST_BATCH = 1 << 20
"""No answer looks further than this."""


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU: its memory, what the driver's context and kernels take of it (an assumption), a price to edit."""

    name: str
    memory_bytes: int
    overhead_bytes: int = GIB
    price_per_hour: float | None = None


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


@dataclass(frozen=True, slots=True)
class Point:
    """What one captured and planned batch size needs. All predicted, in bytes.

    `eager_bytes`: what PyTorch's caching allocator would reserve for the captured order (simulated);
    `planned_bytes`: the plan's arena. Both lie on top of `resident_bytes`.
    """

    batch: int
    resident_bytes: int
    eager_bytes: int
    planned_bytes: int

    def need(self, run: Run) -> int:
        """Bytes of the whole step, resident included."""
        return self.resident_bytes + (self.eager_bytes if run == "eager" else self.planned_bytes)


@dataclass(frozen=True)
class Fit:
    """The needs at some batch sizes (ascending), and what follows for each device.

    Between two captured sizes the need is interpolated, beyond them extrapolated, by straight lines: activations
    grow with the batch, everything else stays. Eager never needs less than the plan, whose peak is at most eager's:
    what its allocator loses goes up and down with the batch, and a line through two losses would foretell gains.
    `ValueError` without points or with a size given twice.
    """

    name: str
    points: tuple[Point, ...]
    devices: tuple[Device, ...] = DEVICES

    def __post_init__(self) -> None:
        sizes = [point.batch for point in self.points]
        if not sizes or sizes != sorted(set(sizes)) or sizes[0] < 1:
            raise ValueError(f"batch sizes must ascend from 1, not {sizes}")

    def need(self, batch: int, run: Run) -> int:
        """Predicted bytes of the whole step at a batch size."""
        line = self._line(batch, run)
        return line if run == "planned" else max(line, self._line(batch, "planned"))

    def _line(self, batch: int, run: Run) -> int:
        points = self.points
        if len(points) == 1:
            (only,) = points
            fixed = min(only.resident_bytes, only.need(run))
            return fixed + math.ceil((only.need(run) - fixed) * batch / only.batch)
        right = next((at for at, point in enumerate(points) if point.batch >= batch), len(points) - 1)
        low, high = points[max(right, 1) - 1], points[max(right, 1)]
        slope = (high.need(run) - low.need(run)) / (high.batch - low.batch)
        return max(math.ceil(low.need(run) + slope * (batch - low.batch)), points[0].resident_bytes)

    def captured(self, batch: int) -> bool:
        """Whether this very size was captured: no line was drawn to get its need."""
        return any(point.batch == batch for point in self.points)

    def largest_batch(self, device: Device, run: Run) -> int:
        """The largest batch that fits on `device`, at most MOST_BATCH; 0: not even one sample does."""
        room = device.memory_bytes - device.overhead_bytes
        if self.need(1, run) > room:
            return 0
        low, high = 1, 2
        while high <= MOST_BATCH and self.need(high, run) <= room:
            low, high = high, 2 * high
        if low == MOST_BATCH:
            return MOST_BATCH
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.need(middle, run) <= room else (low, middle)
        return low

    def fits(self, device: Device, batch: int, run: Run) -> bool:
        """Whether a step of this batch size fits on `device`."""
        return self.need(batch, run) <= device.memory_bytes - device.overhead_bytes

    def to_data(self) -> dict[str, Any]:
        """Plain JSON data; sizes in bytes."""
        return {
            "name": self.name,
            "points": [
                {"batch": point.batch, "resident_bytes": point.resident_bytes}
                | {f"{run}_bytes": point.need(run) for run in RUNS}
                for point in self.points
            ],
            "devices": [
                {"name": device.name, "memory_bytes": device.memory_bytes, "overhead_bytes": device.overhead_bytes}
                | {f"largest_batch_{run}": self.largest_batch(device, run) for run in RUNS}
                for device in self.devices
            ],
        }
