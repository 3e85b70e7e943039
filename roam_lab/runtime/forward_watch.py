"""Frees the arena when the user runs the model between planned steps, as an evaluation needs the memory."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from roam_lab.runtime.model_tree import ModelTree


class Lent(Protocol):
    """Memory of planned steps that others may need between two steps (the arena pool)."""

    @property
    def held(self) -> bool:
        """Whether the memory is allocated now."""

    def release(self) -> None:
        """Free the memory."""


class ForwardWatch:
    """Between `start` and `stop`, the first forward of any module of the model releases the arena, and ends the watch.

    It is a hook on all modules of the process, as one on the model would be saved and copied with it.
    """

    def __init__(self, tree: ModelTree, pool: Lent) -> None:
        self._tree, self.pool = tree, pool
        self._handle: Any = None
        self._end: Any = None

    def start(self) -> None:
        """Watch, if an arena is held."""
        if self._handle is not None or not self.pool.held:
            return
        watch = weakref.ref(self)  # the process must not keep the arena alive

        def before_forward(module: torch.nn.Module, args: Any) -> None:
            mine = watch()
            if mine is not None and mine._tree.holds(module):
                mine.stop()
                mine.pool.release()

        self._handle = register_module_forward_pre_hook(before_forward)
        _active.add(self)
        self._end = weakref.finalize(self, self._handle.remove)

    def stop(self) -> None:
        """End the watch."""
        if self._handle is not None:
            _active.discard(self)
            self._end.detach()
            self._handle.remove()
            self._handle = None


_active: weakref.WeakSet[ForwardWatch] = weakref.WeakSet()


@contextmanager
def unwatched(mine: ForwardWatch) -> Iterator[None]:
    """The context of a step of the hook that `mine` belongs to. The watches of all hooks are off in it: guards would
    take their module hook for a change by the user."""
    paused = [mine, *_active]
    for watch in paused:
        watch.stop()
    try:
        yield
    finally:
        for watch in paused:
            watch.start()
