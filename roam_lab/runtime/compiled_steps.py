"""The compiled steps that a hook keeps."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from roam_lab.runtime.arena_pool import ArenaPool
from roam_lab.runtime.compiled import Compiled

MOST_COMPILED = 16
"""How many compiled steps a hook keeps; beyond that the one that was not used for longest is dropped."""


class CompiledSteps(OrderedDict[tuple[Any, ...], Compiled]):
    """The compiled steps of a hook. A key is that of `choice.key_of` (batch, mode, autocast) and the number of the way.

    At most `most`; the longest unused goes first.
    """

    def __init__(self, pool: ArenaPool, most: int = MOST_COMPILED) -> None:
        super().__init__()
        self.pool, self._most = pool, most

    def ways(self, key: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """The full keys of the steps for a batch, mode and autocast, the one last used first."""
        return [one for one in reversed(self) if one[:-1] == key]

    def used(self, key: tuple[Any, ...]) -> None:
        """Note that this one was just used."""
        if key in self:
            self.move_to_end(key)

    def add(self, key: tuple[Any, ...], compiled: Compiled) -> None:
        """Keep one more, and drop the longest unused if there are too many."""
        self.drop(key)
        self[key] = compiled
        while len(self) > self._most:
            self.drop(next(iter(self)))

    def drop(self, *keys: tuple[Any, ...]) -> None:
        """Drop the steps of these keys, with the views that they hold."""
        for key in keys:
            compiled = self.pop(key, None)
            if compiled is not None:
                self.pool.leave(compiled)
