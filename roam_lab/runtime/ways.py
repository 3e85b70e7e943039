"""How many ways through a step were captured, for each kind of batch: new ones only as long as old ones are used, and
not too many were refused."""

from __future__ import annotations

from collections import Counter
from typing import Any

from roam_lab.runtime.reasons import Reason

MOST_REMEMBERED = 256
"""Batches, modes and changes that a hook remembers something about; beyond that it forgets them all."""
FREE_WAYS = 8
"""Ways that are captured whatever happens."""
STEPS_A_WAY = 10
"""And beyond these, how many planned steps each has to be worth."""


TRIES = 3
"""Ways of one kind of batch that may be refused before no more are tried."""


class Ways:
    """Counts captures and planned steps by batch, mode and autocast."""

    def __init__(self) -> None:
        self._captured: Counter[Any] = Counter()
        self._ran: Counter[Any] = Counter()
        self._refused: dict[Any, list[Reason]] = {}

    def next(self, key: Any) -> int:
        """A number for the next way of this key."""
        self._captured[key] += 1
        return self._captured[key] - 1

    def captured(self, key: Any) -> int:
        """How many ways of this key were captured: the number of the next one."""
        return self._captured[key]

    def ran(self, key: Any) -> None:
        """A planned step of one of its ways has run."""
        self._ran[key] += 1

    def may_grow(self, key: Any) -> bool:
        """Whether one more way may be captured."""
        captured = self._captured[key]
        return captured < FREE_WAYS or self._ran[key] >= STEPS_A_WAY * captured

    def refuse(self, key: Any, reason: Reason) -> None:
        """A way of this key cannot be captured."""
        if len(self._refused) >= MOST_REMEMBERED:
            self._refused.clear()
        self._refused.setdefault(key, []).append(reason)

    def given_up(self, key: Any, others: bool) -> Reason | None:
        """Why no more ways of this key are tried. `others`: some were captured, so that one more may be, too."""
        refused = self._refused.get(key, [])
        return refused[-1] if len(refused) >= (TRIES if others else 1) else None
