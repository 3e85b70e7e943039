"""The correspondence between storages of the eager step's log and tensors of the captured graph."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.fx import Node

from roam_lab.capture.constants import name_of
from roam_lab.capture.guide import strides_that_matter
from roam_lab.capture.nodes import storage_key, tensors_of
from roam_lab.ir.op_log import LoggedTensor


@dataclass(frozen=True, slots=True)
class Whence:
    """Where a tensor comes from: it is a result in the log (`logged`), or an input of the graph (`root`)."""

    logged: LoggedTensor | None = None
    root: Node | None = None


class LoggedStorages:
    """The correspondence, which grows with a walk through the graph. `lost`: node -> the op that has overwritten the
    value that the node stands for.

    Storages of fakes are identified by `storage_key`, those of the eager step by their number in the log.
    """

    def __init__(self) -> None:
        self.lost: dict[Node, str] = {}
        self._whence: dict[Node, Whence] = {}
        self._there: dict[int, list[Node]] = {}  # storage of a fake tensor -> the nodes that lie in it
        self._serial: dict[int, int] = {}
        self._key: dict[int, int] = {}
        self._rebound: set[int] = set()

    def origin(self, node: Any) -> Whence:
        """Where a node's tensor comes from; the node itself as `root` where nothing else was noted."""
        return self._whence.get(node) or Whence(root=node)

    def serial(self, key: int) -> int | None:
        """The number in the log of an input's storage (by `storage_key`); None where no op of the log uses it, or where
        the input was given other memory."""
        return None if key in self._rebound else self._serial.get(key)

    def stands(self, node: Node, whence: Whence) -> None:
        """Note that the node's tensor comes from `whence`."""
        self._whence[node] = whence
        for tensor in tensors_of(node):
            self._there.setdefault(storage_key(tensor), []).append(node)

    def stands_as(self, node: Node, source: Node) -> None:
        """Note that the node's tensor is that of `source`."""
        self.stands(node, self.origin(source))
        if source in self.lost:
            self.lost[node] = self.lost[source]

    def stands_as_view(self, node: Node, source: Node) -> None:
        """Note that the node's tensor is a view of that of `source`, made by an op that eager did not run."""
        whence, [made] = self.origin(source), tensors_of(node)
        self.stands_as(node, source)
        if whence.logged is not None:
            self._whence[node] = Whence(replace(whence.logged, offset=int(made.storage_offset())))

    def is_result(self, node: Any, logged: LoggedTensor) -> bool:
        """Whether the node's tensor is eager's result `logged`, with the same offset."""
        found = self.origin(node).logged
        return found is not None and found.storage == logged.storage and found.offset == logged.offset

    def agrees(self, given: Node, logged: LoggedTensor) -> bool:
        """Whether the argument `given` is the tensor `logged` that eager read."""
        if logged.storage < 0:
            return True
        fake = tensors_of(given)[0]
        key = storage_key(fake)
        if key in self._rebound:
            return True  # eager's tensor lies in other memory since it was given another's
        if self.origin(given).logged is not None:
            same = self.is_result(given, logged)
        else:
            same = self._serial.setdefault(key, logged.storage) == logged.storage
            same = same and self._key.setdefault(logged.storage, key) == key
        shape = tuple(fake.shape)
        same = same and shape == logged.shape and name_of(fake.dtype) == logged.dtype
        strides = strides_that_matter(shape, fake.stride()) == strides_that_matter(shape, logged.stride)
        return same and (strides or not fake.numel())

    def agrees_as_result(self, tensor: torch.Tensor, logged: LoggedTensor, moved: bool) -> bool:
        """Whether a result of the graph is eager's result `logged`, in the corresponding storage. `moved`: one of the
        two adds gradients into a new storage, which from now on corresponds to the other's."""
        key, shape = storage_key(tensor), tuple(tensor.shape)
        same = shape == logged.shape and name_of(tensor.dtype) == logged.dtype
        same = same and strides_that_matter(shape, tensor.stride()) == strides_that_matter(shape, logged.stride)
        if moved:
            self._serial[key], self._key[logged.storage] = logged.storage, key
        same = same and self._serial.setdefault(key, logged.storage) == logged.storage
        if key in self._rebound:
            return same
        return same and self._key.setdefault(logged.storage, key) == key and tensor.storage_offset() == logged.offset

    def overwrite(self, key: int, by: str) -> None:
        """Note that the op `by` has overwritten everything in a fake's storage."""
        self.lost.update((older, by) for older in self._there.get(key, ()))

    def overwrite_logged(self, logged: LoggedTensor, by: str) -> None:
        """Note that the op `by` has overwritten everything in the storage that corresponds to eager's `logged`."""
        self.overwrite(self._key.get(logged.storage, 0), by)

    def rebind(self, target: Node, value: Node) -> None:
        """Note `target.data = value`: eager lets the target point to the value's storage, while the graph copies."""
        whence, key = self.origin(value), storage_key(tensors_of(target)[0])
        if whence.logged is not None:
            serial: int | None = whence.logged.storage
        else:
            serial = self._serial.get(storage_key(tensors_of(value)[0]))
        self._rebound.add(key)
        if serial is not None:
            self._serial[key] = serial
