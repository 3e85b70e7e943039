"""Will it fit? Memory of a step over its batch size (or sequence length), and the largest that each GPU holds."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from roam_lab.ir import write_text
from roam_lab.plan.devices import DEVICES, Device
from roam_lab.plan.runs import RUNS, Point, Run

FAR = 4
"""How many times the largest captured size an answer may be that is extrapolated."""

MARGIN = 0.05
"""Of a device's memory: a step that leaves less than this part of it free barely fits. It is an assumption: what else
runs there, and kernels that were not captured, take something, too."""

Basis = Literal["captured", "between", "beyond", "at least"]
Outcome = Literal["fits", "barely fits", "too large"]
Axis = Literal["batch size", "sequence length"]


FORMAT = "roam-fit/1"


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
    """The needs at some batch sizes (ascending), and what follows for each device. `axis`: what a size is: with
    "sequence length", all that is said here of batch sizes is meant of lengths; `fixed`: the other of the two, where it
    is known.

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
    axis: Axis = "batch size"
    fixed: int | None = None

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
        """Predicted bytes of the whole step at a batch size: resident, and what eager reserves where there is memory
        enough, or the plan's arena."""
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

    def basis(self, batch: int) -> Basis:
        """Where the need of this size is known from."""
        if self.captured(batch):
            return "captured"
        return "between" if self.points[0].batch < batch < self.points[-1].batch else "beyond"

    def seconds(self, batch: int, device: Device) -> float | None:
        """Of an eager step of this size on `device`, by its rates (ir/roofline.py), on lines between captured sizes;
        None where the device or the step's arithmetic has none."""
        known = [point.seconds.get(device.rates or "") for point in self.points]
        if len(known) == 1 and known[0] is not None:
            return known[0] * batch / self.points[0].batch
        right = next((at for at, point in enumerate(self.points) if point.batch >= batch), len(known) - 1)
        low, high = max(right, 1) - 1, max(right, 1)
        before, after = known[low], known[min(high, len(known) - 1)]
        if before is None or after is None:
            return None
        slope = (after - before) / (self.points[high].batch - self.points[low].batch)
        return max(before + slope * (batch - self.points[low].batch), 0.0)

    def added(self, batch: int, run: Run) -> float:
        """What a run adds to the time of an eager step, as a fraction: of the captured size nearest to this one."""
        nearest = min(self.points, key=lambda point: abs(point.batch - batch))
        return nearest.added.get(run, 0.0 if isinstance(run, str) else run)

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
            "format": FORMAT,
            "name": self.name,
            "axis": self.axis,
            "fixed": self.fixed,
            "points": [
                {"batch": point.batch, "resident_bytes": point.resident_bytes}
                | {f"{run}_bytes": point.need(run) for run in RUNS}
                | {f"{run}_least_bytes": point.least(run) for run in RUNS}
                | {"planned_added": point.added.get("planned", 0.0), "seconds": dict(point.seconds)}
                | {"rewritten": [_rewritten(point, run) for run in point.runs[2:]]}
                for point in self.points
            ],
            "devices": [
                {"name": device.name, "memory_bytes": device.memory_bytes, "overhead_bytes": device.overhead_bytes}
                | {"price_per_hour": device.price_per_hour, "rates": device.rates}
                | {f"largest_batch_{run}": self.largest_batch(device, run).size for run in RUNS}
                | {"largest": [self._answer(device, run) for run in self.runs]}
                for device in self.devices
            ],
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_data` as JSON, whole or not at all; `load_fit` reads it. Raises OutputError."""
        write_text(path, json.dumps(self.to_data()))

    def _answer(self, device: Device, run: Run) -> dict[str, Any]:
        found = self.largest_batch(device, run)
        return {"run": run, "batch": found.size, "basis": found.basis}


def outcome_of(device: Device, spare_bytes: int) -> Outcome:
    """What a step is called that leaves so much of `device` free."""
    if spare_bytes < 0:
        return "too large"
    return "fits" if spare_bytes >= MARGIN * device.memory_bytes else "barely fits"


def _rewritten(point: Point, run: Run) -> dict[str, Any]:
    added = point.added.get(run, run)
    return {"extra_time": run, "bytes": point.need(run), "least_bytes": point.least(run), "added": added}
