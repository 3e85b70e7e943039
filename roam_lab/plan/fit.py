"""Will it fit? The memory of a step as a function of its batch size (or sequence length), and the largest size that
each GPU holds."""

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
"""An extrapolated answer is at most this many times the largest captured size."""

MARGIN = 0.05
"""A step that leaves less than this fraction of a device's memory free "barely fits". It is an assumption: other
programs, and kernels that were not captured, need memory, too."""

Basis = Literal["captured", "between", "beyond", "at least"]
Outcome = Literal["fits", "barely fits", "too large"]
Axis = Literal["batch size", "sequence length"]


FORMAT = "roam-fit/1"


@dataclass(frozen=True, slots=True)
class Estimate:
    """The largest size that fits (0: not even size 1), and how it is known.

    `basis`: "captured": this size was captured, and so was the next one, which does not fit. "between": interpolated
    between two captured sizes. "beyond": extrapolated below the first or above the last captured size. "at least": the
    largest captured size fits, and the true answer is too far above it to be extrapolated.
    """

    size: int
    basis: Basis


@dataclass(frozen=True)
class Fit:
    """The memory that a step needs at some batch sizes (`points`, ascending), and what follows for each device.

    `axis`: what is varied; with "sequence length" read "length" for "batch size" everywhere here. `fixed`: the value of
    the other of the two, where it is known.

    Between two captured sizes the need is interpolated, beyond them extrapolated, by straight lines: activations
    grow with the batch, everything else stays. Two rules correct the lines. Eager never needs less than the plan, whose
    peak is at most eager's: fragmentation goes up and down with the batch, so that a line may fall below that. And a
    plan never needs more than one that adds less time.
    A batch size fits a device if its `least` does. For eager that is less than its `need`, as PyTorch's allocator gives
    cached memory back before it runs out. At captured sizes `least` comes from simulating the allocator under limits;
    at others from straight lines.
    Raises ValueError without points, with a size given twice, or where points know the needs of different runs.
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
        """The runs whose need is known, the fastest first."""
        return self.points[0].runs

    def need(self, batch: int, run: Run) -> int:
        """Predicted bytes of the whole step at a batch size: residents, and the plan's arena or, for eager, what its
        allocator reserves where memory does not run short."""
        return self._bytes(batch, run, {each: [point.need(each) for point in self.points] for each in self.runs})

    def least(self, batch: int, run: Run) -> int:
        """Predicted bytes of the least memory in which a step of this batch size runs."""
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
        """How the need at this size is known: captured, interpolated ("between") or extrapolated ("beyond")."""
        if self.captured(batch):
            return "captured"
        return "between" if self.points[0].batch < batch < self.points[-1].batch else "beyond"

    def seconds(self, batch: int, device: Device) -> float | None:
        """Seconds of an eager step of this size on `device`, by its rates (ir/roofline.py), interpolated between
        captured sizes. None where the device has no rates, or the ops' flops are not known."""
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
        """The time that a run adds to an eager step, as a fraction, at the captured size nearest to this one."""
        nearest = min(self.points, key=lambda point: abs(point.batch - batch))
        return nearest.added.get(run, 0.0 if isinstance(run, str) else run)

    def captured(self, batch: int) -> bool:
        """Whether this very size was captured, so that its need is neither interpolated nor extrapolated."""
        return any(point.batch == batch for point in self.points)

    def fits(self, device: Device, batch: int, run: Run) -> bool:
        """Whether a step of this batch size fits on `device`."""
        return self.least(batch, run) <= device.room_bytes

    def largest_batch(self, device: Device, run: Run) -> Estimate:
        """The largest batch size that fits on `device`, and how that is known."""
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
        """Write `to_data` as JSON; `load_fit` reads it. Raises OutputError, and then leaves no file of its own."""
        write_text(path, json.dumps(self.to_data()))

    def _answer(self, device: Device, run: Run) -> dict[str, Any]:
        found = self.largest_batch(device, run)
        return {"run": run, "batch": found.size, "basis": found.basis}


def outcome_of(device: Device, spare_bytes: int) -> Outcome:
    """The outcome for a step that leaves `spare_bytes` of `device` free (below 0: it needs more than there is)."""
    if spare_bytes < 0:
        return "too large"
    return "fits" if spare_bytes >= MARGIN * device.memory_bytes else "barely fits"


def _rewritten(point: Point, run: Run) -> dict[str, Any]:
    added = point.added.get(run, run)
    return {"extra_time": run, "bytes": point.need(run), "least_bytes": point.least(run), "added": added}
