"""Limits how many ways of a step are captured for each kind of batch: new ones only as long as the captured ones are
used, and not too many were refused."""

from __future__ import annotations

from collections import Counter
from typing import Any

from roam_lab.runtime.reasons import Reason

MOST_REMEMBERED = 256
"""The most keys (batches, modes, changes) that a hook remembers something about; beyond that it forgets all."""
FREE_WAYS = 8
"""So many ways are captured in any case."""
STEPS_A_WAY = 10
"""Beyond FREE_WAYS, so many planned steps must have run for each captured way before another is captured."""


TRIES = 3
"""After so many refused ways of one kind of batch no more are tried."""


class Ways:
    """Counts captures and planned steps by batch, mode and autocast."""

    def __init__(self) -> None:
        self._captured: Counter[Any] = Counter()
        self._ran: Counter[Any] = Counter()
        self._refused: dict[Any, list[Reason]] = {}

    def next(self, key: Any) -> int:
        """The number of a new way of this key, which is counted as captured."""
        self._captured[key] += 1
        return self._captured[key] - 1

    def captured(self, key: Any) -> int:
        """How many ways of this key were captured: the number of the next one."""
        return self._captured[key]

    def ran(self, key: Any) -> None:
        """Note that a planned step of one of the key's ways has run."""
        self._ran[key] += 1

    def may_grow(self, key: Any) -> bool:
        """Whether one more way may be captured."""
        captured = self._captured[key]
        return captured < FREE_WAYS or self._ran[key] >= STEPS_A_WAY * captured

    def refuse(self, key: Any, reason: Reason) -> None:
        """Note that a way of this key cannot be captured."""
        if len(self._refused) >= MOST_REMEMBERED:
            self._refused.clear()
        self._refused.setdefault(key, []).append(reason)

    def given_up(self, key: Any, others: bool) -> Reason | None:
        """Why no more ways of this key are tried; None where one may be. `others`: some ways were captured, so that
        another may be, too."""
        refused = self._refused.get(key, [])
        return refused[-1] if len(refused) >= (TRIES if others else 1) else None
