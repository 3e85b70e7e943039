"""A dispatch mode that follows storages: how many bytes a running step holds after each operator."""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from roam_lab.capture.torch_internals import TorchDispatchMode, in_backward, pytree, references
from roam_lab.capture.writers import has_strides
from roam_lab.distributed.wrapper import marks_used

_ADD = torch.ops.aten.add.Tensor


class StorageRecorder(TorchDispatchMode):
    """Follows every storage from the operator that returns it to its release.

    `live[i]`, in bytes, is taken while the arguments of operator i are still held, so inputs and outputs count
    together, as in `live_curve`. `resident`: tensors whose storages are not counted. Use it as a context manager around
    the step, on the CPU. `check` is called before each operator; an exception that it raises ends the step.
    `calibrating`: for `_counts_of_the_engine_alone` only.
    """

    def __init__(
        self,
        resident: Sequence[torch.Tensor],
        *,
        check: Callable[[], None] = lambda: None,
        calibrating: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.labels: list[str] = []
        self.live: list[int] = []
        self._check = check
        self._live_bytes = 0
        self._sizes: dict[int, int] = {}
        self._foreign: set[int] = set()
        self._watches: list[weakref.finalize[..., torch.UntypedStorage]] = []
        self._alone = None if calibrating else _counts_of_the_engine_alone()
        for storage in _storages(resident):
            self._set_apart(storage)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._check()
        kwargs = kwargs or {}
        if marks_used(func, args):
            return func(*args, **kwargs)
        accumulated = func is _ADD and self._engine_adds_in_place(args, kwargs)
        if accumulated:
            func = torch.ops.aten.add_.Tensor
        label = str(func)
        if not label.startswith("aten.lift_fresh"):
            # Not made by any operator of this step, so it was there before: a tensor kept in a closure. What
            # lift_fresh is given, on the other hand, is a constant that the step has just made.
            for storage in _storages(args, kwargs):
                if storage._cdata not in self._sizes:
                    self._set_apart(storage)
        result = self.run(func, args, kwargs, accumulated)
        for storage in _storages(result):
            self._note(storage)
        self.labels.append(label)
        self.live.append(self._live_bytes)
        return result

    def run(self, func: Any, args: Any, kwargs: Any, accumulated: bool) -> Any:
        """Run one operator; `accumulated`: a sum of gradients that is written in place."""
        return func(*args, **kwargs)

    def __exit__(self, *raised: Any) -> None:
        for watch in self._watches:  # parameters live on, and would keep what was written down
            watch.detach()
        self._watches.clear()
        super().__exit__(*raised)  # type: ignore[no-untyped-call]

    def when_released(self, storage: torch.UntypedStorage, call: Callable[[], object]) -> None:
        """Call `call` when the storage is released, if the recording still runs then."""
        watch = weakref.finalize(storage, call)
        watch.atexit = False
        self._watches.append(watch)

    def _set_apart(self, storage: torch.UntypedStorage) -> None:
        """Do not count `storage`. Once it is released, a later storage at its address is counted (gradients are
        replaced)."""
        if storage._cdata not in self._foreign:
            self._foreign.add(storage._cdata)
            self.when_released(storage, functools.partial(self._foreign.discard, storage._cdata))

    def _note(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._foreign:
            return
        if key not in self._sizes:
            self.when_released(storage, functools.partial(self._released, key))
        self._live_bytes += size - self._sizes.get(key, 0)
        self._sizes[key] = size

    def _released(self, key: int) -> None:
        self._live_bytes -= self._sizes.pop(key, 0)

    def _engine_adds_in_place(self, args: Any, kwargs: Any) -> bool:
        """Whether autograd, unobserved, would add this gradient into the first one's storage.

        The engine does so when it alone holds the first gradient, but never while a dispatch mode is active. Observing
        must not cost the memory of a gradient (147 MiB for GPT-2's tied embedding), so the mode does what the engine
        would have done. That the engine alone holds a tensor is seen from its three reference counts, which are
        compared with those of a known case.
        """
        if kwargs or len(args) != 2 or not in_backward() or torch.is_grad_enabled():
            return False
        first, second = args
        if not (isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor)):
            return False
        if not (has_strides(first) and has_strides(second)):
            return False
        if first.shape != second.shape or first.dtype != second.dtype:
            return False
        if first.untyped_storage()._cdata not in self._sizes:
            return False
        if not torch.ops.aten.is_non_overlapping_and_dense.default(first):
            return False
        counts = _counts(first)
        if self._alone is None:
            self._alone = counts
            return False
        return all(count <= known for count, known in zip(counts, self._alone, strict=True))


def _counts(tensor: torch.Tensor) -> tuple[int, int, int]:
    """References to the tensor in C++, to its Python object, and to its storage."""
    storage = tensor.untyped_storage()
    of_tensor, of_storage = references(tensor, storage)
    return of_tensor, sys.getrefcount(tensor), of_storage


@functools.cache
def _counts_of_the_engine_alone() -> tuple[int, int, int]:
    """`_counts`, as the mode sees them, of a gradient that only the engine holds: that of y in sin(y) + cos(y)."""
    with torch.enable_grad():
        recorder = StorageRecorder([], calibrating=True)
        leaf = torch.ones(2, requires_grad=True)
        with recorder:
            y = leaf * 2
            (y.sin() + y.cos()).sum().backward()
    return recorder._alone or (0, 0, 0)


def _storages(*values: Any) -> Iterator[torch.UntypedStorage]:
    for leaf in pytree.tree_leaves(values):
        if isinstance(leaf, torch.Tensor) and has_strides(leaf):
            yield leaf.untyped_storage()
