"""Will it fit? Memory of a step over its batch size, and the largest batch that each GPU holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from roam_lab.plan.devices import DEVICES, Device
from roam_lab.plan.runs import RUNS, Point, Run

FAR = 4
"""How many times the largest captured size an answer may be that is extrapolated."""

Basis = Literal["captured", "between", "beyond", "at least"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A largest batch; 0: not even one sample fits.

    `basis`: "captured": it was, and so was the next one, which does not fit; "between": it lies on a line between two
    captured sizes; "beyond": on one that goes on beside the first or the last of them, so that it is extrapolated;
    "at least": the largest captured size fits, and how many more do would be extrapolated too far.
    """

    size: int
    basis: Basis


@dataclass(frozen=True)
class Fit:
    """The needs at some batch sizes (ascending), and what follows for each device.

    Between two captured sizes the need is interpolated, beyond them extrapolated, by straight lines: activations
    grow with the batch, everything else stays. Eager never needs less than the plan, whose peak is at most eager's:
    what its allocator loses goes up and down with the batch, and a line through two losses would foretell gains.
    Nor does a plan need more than one that adds less time.
    A batch fits where the least does with which it runs: before eager gives up, it gives back what is cached. At a
    captured size the allocator was simulated under such limits; the least elsewhere lies on lines, too.
    `ValueError` without points, with a size given twice, or with points of other runs.
    """

    name: str
    points: tuple[Point, ...]
    devices: tuple[Device, ...] = DEVICES

    def __post_init__(self) -> None:
        sizes = [point.batch for point in self.points]
        if not sizes or sizes != sorted(set(sizes)) or sizes[0] < 1:
            raise ValueError(f"batch sizes must ascend from 1, not {sizes}")
        if len({point.runs for point in self.points}) > 1:
            raise ValueError("every batch size must be planned for the same extra times")

    @property
    def runs(self) -> tuple[Run, ...]:
        """Those whose need is known, the fastest first."""
        return self.points[0].runs

    def need(self, batch: int, run: Run) -> int:
        """Predicted bytes of the whole step at a batch size, where there is memory enough."""
        return self._bytes(batch, run, {each: [point.need(each) for point in self.points] for each in self.runs})

    def least(self, batch: int, run: Run) -> int:
        """Predicted bytes without which a step of this batch size does not run."""
        return self._bytes(batch, run, {each: [point.least(each) for point in self.points] for each in self.runs})

    def _bytes(self, batch: int, run: Run, needs: dict[Run, list[int]]) -> int:
        lines = [self._line(batch, needs[each]) for each in self.runs[: self.runs.index(run) + 1]]
        return max(lines[0], self._line(batch, needs["planned"])) if run == "eager" else min(lines[1:])

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

    def fits(self, device: Device, batch: int, run: Run) -> bool:
        """Whether a step of this batch size fits on `device`."""
        return self.least(batch, run) <= device.room_bytes

    def largest_batch(self, device: Device, run: Run) -> Estimate:
        """The largest batch that fits on `device`, and what says so."""
        if not self.fits(device, 1, run):
            return Estimate(0, "captured" if self.captured(1) else "beyond")
        first, last = self.points[0].batch, self.points[-1].batch
        low, high = 1, 2
        while high <= FAR * last and self.fits(device, high, run):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.fits(device, middle, run) else (low, middle)
        if low > FAR * last:
            return Estimate(last, "at least")
        if self.captured(low) and self.captured(low + 1):
            return Estimate(low, "captured")
        return Estimate(low, "between" if first <= low < last else "beyond")

    def to_data(self) -> dict[str, Any]:
        """Plain JSON data; sizes in bytes."""
        return {
            "name": self.name,
            "points": [
                {"batch": point.batch, "resident_bytes": point.resident_bytes}
                | {f"{run}_bytes": point.need(run) for run in RUNS}
                | {"eager_least_bytes": point.least("eager")}
                | {"rewritten": [{"extra_time": run, "bytes": point.need(run)} for run in point.runs[2:]]}
                for point in self.points
            ],
            "devices": [
                {"name": device.name, "memory_bytes": device.memory_bytes, "overhead_bytes": device.overhead_bytes}
                | {f"largest_batch_{run}": self.largest_batch(device, run).size for run in RUNS}
                | {"largest": [self._answer(device, run) for run in self.runs]}
                for device in self.devices
            ],
        }

    def _answer(self, device: Device, run: Run) -> dict[str, Any]:
        found = self.largest_batch(device, run)
        return {"run": run, "batch": found.size, "basis": found.basis}
