"""The memory of a DistributedDataParallel's own buckets, which take as many bytes as all gradients.

A planned step exchanges through buckets in its arena, so the wrapper's own can be freed until an eager step needs them.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from roam_lab.distributed.torch_internals import TorchDispatchMode, held_elsewhere


class BucketMemory:
    """The storages of one wrapper's buckets. `away`: whether their memory has been freed; meanwhile the wrapper must
    not run a backward pass."""

    def __init__(self, storages: Sequence[torch.UntypedStorage]) -> None:
        self._sizes = [(storage, storage.nbytes()) for storage in storages]
        self.away = self._kept = False

    @property
    def bytes(self) -> int:
        """Bytes that `give_back` frees."""
        return sum(size for _, size in self._sizes)

    def give_back(self) -> None:
        """Free the memory, unless `keep` was called. The contents are lost, which does no harm: in each step the
        wrapper writes all of a bucket before it reads it."""
        if not self.away and not self._kept:
            self.away = True
            for storage, _ in self._sizes:
                storage.resize_(0)

    def take(self) -> None:
        """Allocate the memory again, where it was freed."""
        if self.away:
            for storage, size in self._sizes:
                storage.resize_(size)
            self.away = False

    def keep(self) -> None:
        """Allocate the memory and never free it again: the user runs forward passes of his own, whose backward passes
        may come at any time."""
        self.take()
        self._kept = True


_of_model: weakref.WeakKeyDictionary[Any, BucketMemory] = weakref.WeakKeyDictionary()


def memory_of(model: Any) -> BucketMemory:
    """The memory of a wrapper's buckets. It has no bytes where the buckets were made outside `buckets_seen`, or where
    gradients are views of them (gradient_as_bucket_view)."""
    if model not in _of_model:
        _of_model[model] = BucketMemory(())
    return _of_model[model]


class _Made(TorchDispatchMode):
    """Notes the storage of every floating-point tensor that is created; integer tensors are messages between ranks."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.storages: dict[int, torch.UntypedStorage] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and (result.is_floating_point() or result.is_complex()):
            storage = result.untyped_storage()
            self.storages.setdefault(storage._cdata, storage)
        return result


@contextmanager
def buckets_seen(model: Any) -> Iterator[None]:
    """A context in which the wrapper makes its buckets, so that `memory_of` knows their storages afterwards."""
    with _Made() as made:
        yield
    kept = [storage for storage in made.storages.values() if storage.nbytes() and held_elsewhere(storage)]
    gradients = sum(one.numel() * one.element_size() for one in model.module.parameters() if one.requires_grad)
    if not model.gradient_as_bucket_view and sum(storage.nbytes() for storage in kept) == gradients:
        _of_model[model] = BucketMemory(kept)
