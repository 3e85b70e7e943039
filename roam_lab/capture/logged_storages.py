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
    """Where a tensor comes from: it is a result in the log (`told`), or an input of the graph (`root`)."""

    told: LoggedTensor | None = None
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
        if whence.told is not None:
            self._whence[node] = Whence(replace(whence.told, offset=int(made.storage_offset())))

    def is_result(self, node: Any, told: LoggedTensor) -> bool:
        """Whether the node's tensor is eager's result `told`, with the same offset."""
        found = self.origin(node).told
        return found is not None and found.storage == told.storage and found.offset == told.offset

    def agrees(self, given: Node, told: LoggedTensor) -> bool:
        """Whether the argument `given` is the tensor `told` that eager read."""
        if told.storage < 0:
            return True
        fake = tensors_of(given)[0]
        key = storage_key(fake)
        if key in self._rebound:
            return True  # eager's tensor lies in other memory since it was given another's
        if self.origin(given).told is not None:
            same = self.is_result(given, told)
        else:
            same = self._serial.setdefault(key, told.storage) == told.storage
            same = same and self._key.setdefault(told.storage, key) == key
        shape = tuple(fake.shape)
        same = same and shape == told.shape and name_of(fake.dtype) == told.dtype
        strides = strides_that_matter(shape, fake.stride()) == strides_that_matter(shape, told.stride)
        return same and (strides or not fake.numel())

    def agrees_as_result(self, tensor: torch.Tensor, told: LoggedTensor, moved: bool) -> bool:
        """Whether a result of the graph is the result `told` of the eager step, in the corresponding storage. `moved`:
        one of the two adds gradients into a new storage, which from now on corresponds to the other's."""
        key, shape = storage_key(tensor), tuple(tensor.shape)
        same = shape == told.shape and name_of(tensor.dtype) == told.dtype
        same = same and strides_that_matter(shape, tensor.stride()) == strides_that_matter(shape, told.stride)
        if moved:
            self._serial[key], self._key[told.storage] = told.storage, key
        same = same and self._serial.setdefault(key, told.storage) == told.storage
        if key in self._rebound:
            return same
        return same and self._key.setdefault(told.storage, key) == key and tensor.storage_offset() == told.offset

    def overwrite(self, key: int, by: str) -> None:
        """Note that the op `by` has overwritten everything in a fake's storage."""
        self.lost.update((older, by) for older in self._there.get(key, ()))

    def overwrite_logged(self, told: LoggedTensor, by: str) -> None:
        """Note that the op `by` has overwritten everything in the storage that corresponds to eager's `told`."""
        self.overwrite(self._key.get(told.storage, 0), by)

    def rebind(self, target: Node, value: Node) -> None:
        """Note `target.data = value`: eager lets the target point to the value's storage, while the graph copies."""
        whence, key = self.origin(value), storage_key(tensors_of(target)[0])
        serial = whence.told.storage if whence.told is not None else self._serial.get(storage_key(tensors_of(value)[0]))
        self._rebound.add(key)
        if serial is not None:
            self._serial[key] = serial
