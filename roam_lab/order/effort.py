"""How much a search may take: one limit for all of them, of counted work and of time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class SpentError(Exception):
    """The effort ran out before there was an answer."""


@dataclass(slots=True)
class Effort:
    """What a search may still spend. A search subtracts what it spends from `work`.

    `work` is counted, so that the same input gives the same order: arcs of the networks that minimum cuts are found in,
    states kept or steps tried, as the search says. `deadline`: when to stop whatever the count, as time.perf_counter
    tells it (None: no limit).
    """

    work: int
    deadline: float | None = None

    @property
    def late(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and time.perf_counter() >= self.deadline

    @property
    def seconds(self) -> float | None:
        """Seconds until the deadline, 0 after it."""
        return None if self.deadline is None else max(self.deadline - time.perf_counter(), 0.0)

    @property
    def left(self) -> bool:
        """Whether there is any work and time left."""
        return self.work > 0 and not self.late

    def check(self) -> None:
        """Raise SpentError after the deadline."""
        if self.late:
            raise SpentError

    @contextmanager
    def part(self, work: int) -> Iterator[Effort]:
        """An effort of at most `work` with the same deadline; at its end what it spent is subtracted here, too."""
        given = min(work, self.work)
        own = Effort(given, self.deadline)
        try:
            yield own
        finally:
            self.work -= given - own.work
