"""Will it fit? Memory of a step over its batch size, and the largest batch that each GPU holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from roam_lab.layout.caching.settings import AllocatorSettings
from roam_lab.layout.caching.training_run import least_bytes, simulate
from roam_lab.plan.plan import Plan
from roam_lab.plan.planned_run import simulate_planned
from roam_lab.plan.profile import Profile

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

    `eager_bytes`: what PyTorch's caching allocator reserves over some steps in captured order (simulated);
    `planned_bytes`: what it reserves for the plan's arena, and on CUDA for what lies beside it (plan/planned_run.py).
    On CUDA, workspaces of cuBLAS are in both. `eager_least_bytes`: with how little
    eager runs, where the allocator has to give back what it caches (None: not known, taken as `eager_bytes`). All three
    lie on top of `resident_bytes`.
    """

    batch: int
    resident_bytes: int
    eager_bytes: int
    planned_bytes: int
    eager_least_bytes: int | None = None

    def need(self, run: Run) -> int:
        """Bytes of the whole step, resident included."""
        return self.resident_bytes + (self.eager_bytes if run == "eager" else self.planned_bytes)

    def least(self, run: Run) -> int:
        """Bytes without which the step does not run, resident included."""
        if run == "planned" or self.eager_least_bytes is None:
            return self.need(run)
        return self.resident_bytes + self.eager_least_bytes


def point_at(batch: int, profile: Profile, plan: Plan) -> Point:
    """The needs at the batch size at which `profile` was captured; the allocator has the settings of the user's
    environment."""
    run, settings = profile.training_run, AllocatorSettings.of_environment()
    held, least = simulate(run, settings), least_bytes(run, settings)
    planned = simulate_planned(plan, profile.graph, run, settings)
    return Point(
        batch,
        profile.resident_bytes,
        held.reserved - held.resident,
        planned.reserved - planned.resident,
        least - held.resident,
    )


@dataclass(frozen=True)
class Fit:
    """The needs at some batch sizes (ascending), and what follows for each device.

    Between two captured sizes the need is interpolated, beyond them extrapolated, by straight lines: activations
    grow with the batch, everything else stays. Eager never needs less than the plan, whose peak is at most eager's:
    what its allocator loses goes up and down with the batch, and a line through two losses would foretell gains.
    A batch fits where the least does with which it runs: before eager gives up, it gives back what is cached. At a
    captured size the allocator was simulated under such limits; the least elsewhere lies on lines, too.
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
        """Predicted bytes of the whole step at a batch size, where there is memory enough."""
        line = self._line(batch, [point.need(run) for point in self.points])
        return line if run == "planned" else max(line, self.need(batch, "planned"))

    def least(self, batch: int, run: Run) -> int:
        """Predicted bytes without which a step of this batch size does not run."""
        line = self._line(batch, [point.least(run) for point in self.points])
        return line if run == "planned" else max(line, self.least(batch, "planned"))

    def _line(self, batch: int, needs: Sequence[int]) -> int:
        points = self.points
        if len(points) == 1:
            fixed = min(points[0].resident_bytes, needs[0])
            return fixed + math.ceil((needs[0] - fixed) * batch / points[0].batch)
        right = next((at for at, point in enumerate(points) if point.batch >= batch), len(points) - 1)
        at = max(right, 1)
        slope = (needs[at] - needs[at - 1]) / (points[at].batch - points[at - 1].batch)
        return max(math.ceil(needs[at - 1] + slope * (batch - points[at - 1].batch)), points[0].resident_bytes)

    def captured(self, batch: int) -> bool:
        """Whether this very size was captured: no line was drawn to get its need."""
        return any(point.batch == batch for point in self.points)

    def largest_batch(self, device: Device, run: Run) -> int:
        """The largest batch that fits on `device`, at most MOST_BATCH; 0: not even one sample does."""
        room = device.memory_bytes - device.overhead_bytes
        if self.least(1, run) > room:
            return 0
        low, high = 1, 2
        while high <= MOST_BATCH and self.least(high, run) <= room:
            low, high = high, 2 * high
        if low == MOST_BATCH:
            return MOST_BATCH
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.least(middle, run) <= room else (low, middle)
        return low

    def fits(self, device: Device, batch: int, run: Run) -> bool:
        """Whether a step of this batch size fits on `device`."""
        return self.least(batch, run) <= device.memory_bytes - device.overhead_bytes

    def to_data(self) -> dict[str, Any]:
        """Plain JSON data; sizes in bytes."""
        return {
            "name": self.name,
            "points": [
                {"batch": point.batch, "resident_bytes": point.resident_bytes}
                | {f"{run}_bytes": point.need(run) for run in RUNS}
                | {"eager_least_bytes": point.least("eager")}
                for point in self.points
            ],
            "devices": [
                {"name": device.name, "memory_bytes": device.memory_bytes, "overhead_bytes": device.overhead_bytes}
                | {f"largest_batch_{run}": self.largest_batch(device, run) for run in RUNS}
                for device in self.devices
            ],
        }
