"""What a planned step takes from whoever runs the model between two of them, and gives back when somebody does."""

from __future__ import annotations

import weakref
from typing import Any

import torch

from roam_lab.distributed.bucket_memory import memory_of
from roam_lab.runtime.arena_pool import ArenaPool


class ArenaAndBuckets:
    """What a planned step keeps from the user's own forward passes: its arena, and the memory of the wrapper's
    buckets."""

    def __init__(self, pool: ArenaPool, model: Any) -> None:
        self._pool, self._model = pool, weakref.ref(model)

    @property
    def held(self) -> bool:
        """Whether one of the two is away."""
        model = self._model()
        return self._pool.held or (model is not None and memory_of(model).away)

    def release(self) -> None:
        """Give both back, before a forward pass of the user's."""
        self._pool.release()
        model = self._model()
        if model is not None and memory_of(model).away and torch.is_grad_enabled():
            memory_of(model).keep()
        self.end()

    def end(self) -> None:
        """The hook is gone: the wrapper has its memory."""
        model = self._model()
        if model is not None:
            memory_of(model).take()
