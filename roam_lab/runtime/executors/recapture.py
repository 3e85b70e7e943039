"""When a CUDA graph is captured again: numbers such as the learning rate are constants of its kernels."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

MOST_CHANGES = 2
"""After this many changes within WINDOW steps capturing again does not pay."""
WINDOW = 10


def baked(numbers: Sequence[Any]) -> tuple[Any, ...]:
    """Numbers in a form to be compared bit by bit: 0.0 differs from -0.0, 1 from 1.0, and NaN is equal to itself."""
    return tuple(struct.pack("d", one) if isinstance(one, float) else (type(one), one) for one in numbers)


class Recaptures:
    """Counts the changes that made a captured graph useless, by step."""

    def __init__(self) -> None:
        self._steps = 0
        self._changes: list[int] = []

    def step(self) -> None:
        """Count one more step."""
        self._steps += 1

    def change(self) -> bool:
        """Note that the captured graph is no longer right. Returns whether to capture again."""
        self._changes = [one for one in self._changes if one > self._steps - WINDOW] + [self._steps]
        return len(self._changes) < MOST_CHANGES
