"""The self-check on several ranks: a step that is run twice exchanges twice, so all ranks run it twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from roam_lab.capture import TrainingStep
from roam_lab.distributed import Ranks
from roam_lab.runtime.replicated.wishes import Wish
from roam_lab.runtime.self_check import Expected, SelfCheck


class RankedCheck(SelfCheck):
    """`ranks`: those who run with this one."""

    ranks: Ranks
    _alone = False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """This rank looks by itself whether its captured steps are right. Where it runs an eager step for that, the
        others, who wait to hear what it wants to do, run one beside it."""
        self._alone = True
        try:
            yield
        finally:
            self._alone = False

    def eager_first(
        self, step: TrainingStep, batch: Any, *, logged: bool = True, for_good: bool = False
    ) -> Expected | None:
        """As on one rank, with all others beside it."""
        if self._alone:
            self.ranks.most(Wish.COMPANY, 0, 0)
            logged = True
        return super().eager_first(step, batch, logged=logged, for_good=for_good)

    def accompany(self, step: TrainingStep, batch: Any) -> None:
        """Run the eager step beside a rank that looks by itself, and put everything back."""
        super().eager_first(step, batch)
