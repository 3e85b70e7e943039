"""The memory of a wrapper's own buckets, as much as all gradients take: a planned step has its own, and needs none."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from roam_lab.distributed.torch_internals import TorchDispatchMode, held_elsewhere


class BucketMemory:
    """`away`: whether it was given back. While it is, the wrapper must not run a backward pass."""

    def __init__(self, storages: Sequence[torch.UntypedStorage]) -> None:
        self._sizes = [(storage, storage.nbytes()) for storage in storages]
        self.away = self._kept = False

    @property
    def bytes(self) -> int:
        """What can be given back."""
        return sum(size for _, size in self._sizes)

    def give_back(self) -> None:
        """The contents are lost: the wrapper writes all of them in each step before it reads any."""
        if not self.away and not self._kept:
            self.away = True
            for storage, _ in self._sizes:
                storage.resize_(0)

    def take(self) -> None:
        """The memory is there again."""
        if self.away:
            for storage, size in self._sizes:
                storage.resize_(size)
            self.away = False

    def keep(self) -> None:
        """It is there from now on: somebody runs a forward pass by himself, and nobody knows when its backward pass."""
        self.take()
        self._kept = True


_of_model: weakref.WeakKeyDictionary[Any, BucketMemory] = weakref.WeakKeyDictionary()


def memory_of(model: Any) -> BucketMemory:
    """Of a wrapper; of no bytes where its buckets were made unseen, or where gradients are views of them."""
    if model not in _of_model:
        _of_model[model] = BucketMemory(())
    return _of_model[model]


class _Made(TorchDispatchMode):
    """Notes every storage that is made for numbers other than whole ones: ranks tell each other indices meanwhile."""

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
    """While the wrapper makes its buckets."""
    with _Made() as made:
        yield
    kept = [storage for storage in made.storages.values() if storage.nbytes() and held_elsewhere(storage)]
    gradients = sum(one.numel() * one.element_size() for one in model.module.parameters() if one.requires_grad)
    if not model.gradient_as_bucket_view and sum(storage.nbytes() for storage in kept) == gradients:
        _of_model[model] = BucketMemory(kept)
