"""How many ways through a step were captured, for each kind of batch: new ones only as long as old ones are used."""

from __future__ import annotations

from collections import Counter
from typing import Any

FREE_WAYS = 8
"""Ways that are captured whatever happens."""
STEPS_A_WAY = 10
"""And beyond these, how many planned steps each has to be worth."""


class Ways:
    """Counts captures and planned steps by batch, mode and autocast."""

    def __init__(self) -> None:
        self._captured: Counter[Any] = Counter()
        self._ran: Counter[Any] = Counter()

    def next(self, key: Any) -> int:
        """A number for the next way of this key."""
        self._captured[key] += 1
        return self._captured[key] - 1

    def ran(self, key: Any) -> None:
        """A planned step of one of its ways has run."""
        self._ran[key] += 1

    def may_grow(self, key: Any) -> bool:
        """Whether one more way may be captured."""
        captured = self._captured[key]
        return captured < FREE_WAYS or self._ran[key] >= STEPS_A_WAY * captured
