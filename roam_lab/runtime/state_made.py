"""Which optimizers have run their first step, where only that can make their state."""

from __future__ import annotations

import torch


class StateMade:
    """After an eager step of the hook, whatever state is missing is rightly missing: until state is taken away."""

    def __init__(self, optimizers: tuple[torch.optim.Optimizer, ...]) -> None:
        self._optimizers = optimizers
        self._owners: dict[int, set[int]] = {}

    def note(self) -> None:
        """An eager step has run: remember for which parameters each optimizer now holds state."""
        self._owners = {id(one): _owners(one) for one in self._optimizers}

    def by(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether the optimizer's first step has run, and the state that it made is there."""
        made = self._owners.get(id(optimizer))
        return made is not None and made <= _owners(optimizer)


def _owners(optimizer: torch.optim.Optimizer) -> set[int]:
    return {id(parameter) for parameter, entries in optimizer.state.items() if entries}
