"""When a CUDA graph is captured again: the numbers of its kernels are those of the step that was captured."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

MOST_CHANGES = 2
"""Changes within `WINDOW` steps after which capturing again does not pay."""
WINDOW = 10


def baked(numbers: Sequence[Any]) -> tuple[Any, ...]:
    """Numbers as a graph has them, to be compared bit by bit: 0.0 is not -0.0, 1 is not 1.0, and NaN is itself."""
    return tuple(struct.pack("d", one) if isinstance(one, float) else (type(one), one) for one in numbers)


class Recaptures:
    """Counts what made a captured graph useless, by step."""

    def __init__(self) -> None:
        self._steps = 0
        self._changes: list[int] = []

    def step(self) -> None:
        """One more step runs."""
        self._steps += 1

    def change(self) -> bool:
        """What was captured is no longer right. Whether to capture again."""
        self._changes = [one for one in self._changes if one > self._steps - WINDOW] + [self._steps]
        return len(self._changes) < MOST_CHANGES
