"""Notes which optimizers have run their first step, for those whose state only a step can make."""

from __future__ import annotations

import torch

from roam_lab.errors import FirstStepError, PartedError, RoamError


class StateMade:
    """After an eager step of the hook, an optimizer has all the state that it makes; if some of it is removed later,
    the first step has to be run again."""

    def __init__(self, optimizers: tuple[torch.optim.Optimizer, ...]) -> None:
        self._optimizers = optimizers
        self._owners: dict[int, set[int]] = {}

    def note(self) -> None:
        """Called after an eager step: note for which parameters each optimizer has state."""
        self._owners = {id(one): _owners(one) for one in self._optimizers}

    def by(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether the optimizer's first step has run, and the state that it made still exists."""
        made = self._owners.get(id(optimizer))
        return made is not None and made <= _owners(optimizer)

    def or_first_step(self, error: RoamError, may_wait: bool) -> RoamError:
        """The error of a capture; FirstStepError where the capture ran other ops than the eager step, an optimizer has
        not run its first step, and the next one may be captured: the step may ask for the optimizer's state, which a
        capture has made before."""
        first = isinstance(error, PartedError) and not all(map(self.by, self._optimizers))
        return FirstStepError(str(error)) if first and may_wait else error


def _owners(optimizer: torch.optim.Optimizer) -> set[int]:
    return {id(parameter) for parameter, entries in optimizer.state.items() if entries}
