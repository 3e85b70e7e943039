"""The self-check on several ranks: a step that is run once more exchanges once more, so all ranks run it together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from roam_lab.capture import TrainingStep
from roam_lab.capture.stored.captures import Kept
from roam_lab.runtime.self_check import Expected, SelfCheck


class RankedCheck(SelfCheck):
    """Runs eager steps on all ranks together, or none."""

    _alone = False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """This rank finds out by itself whether its captured steps are right: it can run no eager step for that, and
        captures without being led by one."""
        self._alone = True
        try:
            yield
        finally:
            self._alone = False

    def eager_first(
        self, step: TrainingStep, batch: Any, *, logged: bool = True, for_good: bool = False, kept: Kept | None = None
    ) -> Expected | None:
        """As on one rank; None where this rank is alone. No captures are kept of several ranks."""
        return None if self._alone else super().eager_first(step, batch, logged=logged, for_good=for_good)
