"""The largest batch size or sequence length that fits, searched by capturing and planning the step at each size tried:
nothing in the answer is extrapolated."""

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
"""Guesses lie on a line through two known sizes. Where needs are no straight line, guesses may fall on alternating
sides of the answer; after this many changes of side the middle is tried instead."""
FURTHER = 16
"""The next guess is at most this many times the largest size known to fit."""
STRIDE = 8
"""As long as all guesses fall on the same side of the answer, each goes this many times further beyond the line."""
LAST = 2**40
"""A step that still fits at this size has a need that does not depend on the size."""


@dataclass(frozen=True, slots=True)
class Largest:
    """The largest size of a run that fits: it and the next one were captured and planned.

    `size`: 0 where not even 1 fits. `bytes`: of the whole step at `size` (at 1 where that is 0). `next_bytes`: at the
    next size, which does not fit; None where `size` is the largest that the model takes. `extra_time`: the time that
    its plan adds, as a fraction.
    """

    run: Run
    size: int
    bytes: int
    next_bytes: int | None
    extra_time: float


@dataclass(frozen=True, slots=True)
class LargestSizes:
    """The largest size of each run.

    `axis`: what is varied; `fixed`: the value of the other axis, where the batch has both. `captured`: the sizes that
    were captured, ascending. `most`: the largest size that the model is made for (None: not known).
    """

    axis: Axis
    fixed: int | None
    largest: tuple[Largest, ...]
    captured: tuple[int, ...]
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Within:
    """The largest sizes of the step `name` on `device`, along each axis of its batch."""

    name: str
    device: Device
    sizes: tuple[LargestSizes, ...]

    def check(self) -> None:
        """Raise InfeasibleError, naming the least memory that suffices, where no run fits at any size."""
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
        """Plain JSON data; sizes in bytes. Its key `allowed`: the fraction that a plan may add to the step's time (null
        for eager)."""
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
    """The largest size of each run in `room` bytes. The first search begins at the size `start`, each further one at
    the result of the one before. `needs` captures and plans; `axis`, `fixed`, `most`: see LargestSizes.

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
    """A size whose `need` is at most `room` bytes while the need of the next size is more; where needs never fall, it
    is the largest that fits. 0 where not even 1 fits; `most` where that fits (no larger size is asked for).

    `need` is called once a size, as it is expensive. `start`: the first size tried. `base`: bytes that are needed
    whatever the size, for the first guess. Raises InputError where the need does not grow with the size.
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
    """The size at which the line through two tried sizes, those whose needs are nearest to `room`, reaches it; LAST
    where the line does not rise."""
    sizes = sorted(tried)
    at = min(sum(size <= low for size in sizes), len(sizes) - 1)
    left, right = sizes[at - 1], sizes[at]
    rise = tried[right] - tried[left]
    return left + (room - tried[left]) * (right - left) // rise if rise > 0 else FURTHER * right
