"""The largest size of a step that fits, looked for by capturing and planning: nothing in the answer is extrapolated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

from roam_lab.errors import InfeasibleError, InputError
from roam_lab.plan.devices import Device
from roam_lab.plan.needs import Needs
from roam_lab.plan.runs import Run

Axis = Literal["batch size", "sequence length"]
TURNS = 3
"""After so many changes of side, which steps and noise make, the size in the middle is tried."""
FURTHER = 16
"""How many times the largest size known to fit the next guess may be."""
STRIDE = 8
"""How many times further each guess goes beside the line, as long as all lie on the same side of the answer."""
LAST = 2**40
"""Whatever needs no more memory there has a need that does not depend on the size."""


@dataclass(frozen=True, slots=True)
class Largest:
    """The largest size of a run that fits: it and the next one were captured and planned.

    `size`: 0: not even 1 fits. `bytes`: of the whole step at `size`, at 1 where that is 0. `next_bytes`: at the next
    size, which does not fit; None where `size` is the most that the model takes. `extra_time`: what its plan adds.
    """

    run: Run
    size: int
    bytes: int
    next_bytes: int | None
    extra_time: float


@dataclass(frozen=True, slots=True)
class LargestSizes:
    """What fits, run by run.

    `axis`: what is varied; `fixed`: the other, where the batch has both. `captured`: the sizes that were. `most`: the
    most that the model is made for; None: not known.
    """

    axis: Axis
    fixed: int | None
    largest: tuple[Largest, ...]
    captured: tuple[int, ...]
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Within:
    """What fits of the step `name` on `device`, along each axis of its batch."""

    name: str
    device: Device
    sizes: tuple[LargestSizes, ...]

    def check(self) -> None:
        """Raises InfeasibleError, with the least that is known to do, where no run fits at any size."""
        found = [(one, along.axis) for along in self.sizes for one in along.largest]
        if any(one.size for one, _ in found):
            return
        least, axis = min(found, key=lambda entry: entry[0].bytes)
        raise InfeasibleError(
            f"{self.name}: nothing fits into {self.device.memory_bytes} bytes, {self.device.overhead_bytes} of them "
            f"lost to the driver's context: the least known to do for the step is {least.bytes} bytes, at {axis} 1 and "
            f"{least.extra_time:.1%} more time; give more memory, or make the model smaller"
        )

    def to_data(self) -> dict[str, Any]:
        """Plain JSON data; sizes in bytes. `allowed`: what a plan may add to the step's time (eager: null)."""
        device = {"memory_bytes": self.device.memory_bytes, "overhead_bytes": self.device.overhead_bytes}
        return {"name": self.name, **device, "sizes": [asdict(along) | _with_times(along) for along in self.sizes]}


def _with_times(along: LargestSizes) -> dict[str, Any]:
    allowed: dict[Run, float | None] = {"eager": None, "planned": 0.0}
    return {
        "largest": [
            {
                **asdict(one),
                "run": one.run if isinstance(one.run, str) else "rewritten",
                "allowed": allowed.get(one.run, one.run),
            }
            for one in along.largest
        ]
    }


def largest_sizes(
    needs: Needs,
    room: int,
    runs: Sequence[Run],
    start: int,
    axis: Axis,
    fixed: int | None = None,
    most: int | None = None,
) -> LargestSizes:
    """Look for the largest size of each run in `room` bytes: at first at `start`, later at the largest before.

    Raises InputError where the need does not grow with the size.
    """
    base = needs.profile(start).resident_bytes
    found: list[Largest] = []
    for run in runs:
        size = largest_size(partial(_bytes, needs, run), base, room, start, most)
        need = needs.need(max(size, 1), run)
        following = None if size == most else needs.need(size + 1, run).bytes
        found.append(Largest(run, size, need.bytes, following, need.extra_time))
        start = max(start, size)
    return LargestSizes(axis, fixed, tuple(found), needs.sizes, most)


def _bytes(needs: Needs, run: Run, size: int) -> int:
    return needs.need(size, run).bytes


def largest_size(need: Callable[[int], int], base: int, room: int, start: int, most: int | None = None) -> int:
    """A size whose need is at most `room` while the next one's is more: the largest, where needs never fall. 0: not
    even 1 fits; `most`: that does, and nothing above it is asked for.

    Each size is asked for once. `base`: bytes that are there whatever the size, for a first guess. Raises InputError
    where the need does not grow with the size.
    """
    tried = {0: base}
    low, high = 0, None if most is None else most + 1
    size, fitted, stride, turns = start if most is None else min(start, most), True, 0, 0
    while True:
        tried[size] = need(size)
        fits = tried[size] <= room
        low, high = (size, high) if fits else (low, size)
        if high is not None and high - low <= 1:
            return low
        if low > LAST:
            raise InputError(f"at {low:,} the step still fits into {room:,} bytes: nothing bounds it; give less memory")
        stride, turns = (max(STRIDE * stride, 1), turns) if fits == fitted else (0, turns + 1)
        fitted = fits
        above = FURTHER * low if high is None else high
        guess = _meeting(tried, low, room) + (stride if fits else -stride) if turns < TURNS else (low + above) // 2
        size = min(max(guess, low + 1), above - 1)


def _meeting(tried: dict[int, int], low: int, room: int) -> int:
    """Where the line through the two sizes nearest to the room meets it; beyond all where it does not rise."""
    sizes = sorted(tried)
    at = min(sum(size <= low for size in sizes), len(sizes) - 1)
    left, right = sizes[at - 1], sizes[at]
    rise = tried[right] - tried[left]
    return left + (room - tried[left]) * (right - left) // rise if rise > 0 else FURTHER * right
