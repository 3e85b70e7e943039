"""How many ways through a step were captured, for each kind of batch: new ones only as long as old ones are used."""

from __future__ import annotations

from collections import Counter
from typing import Any

WAYS_MET_ONCE = 3
"""Ways that are captured though none of them was met again: a number that differs from step to step makes no end of
them, and each takes seconds."""
FREE_WAYS = 8
"""Ways that are captured if some are met again."""
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
        captured, ran = self._captured[key], self._ran[key]
        free = WAYS_MET_ONCE if ran <= captured else FREE_WAYS
        return captured < free or ran >= STEPS_A_WAY * captured
