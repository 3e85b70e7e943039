"""Which storage of the eager step stands behind each tensor of a captured graph."""

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
    """Where an argument comes from: a result of a logged op, or an input (`root`)."""

    told: LoggedTensor | None = None
    root: Node | None = None


class ToldStorages:
    """Grows with a walk through the graph. `lost`: node -> the op that has written over what it stands for.

    Storages of fakes are told apart by `storage_key`, those of the eager step by their number in the log.
    """

    def __init__(self) -> None:
        self.lost: dict[Node, str] = {}
        self._whence: dict[Node, Whence] = {}
        self._there: dict[int, list[Node]] = {}  # storage of a fake tensor -> the nodes that lie in it
        self._serial: dict[int, int] = {}
        self._key: dict[int, int] = {}
        self._rebound: set[int] = set()

    def origin(self, node: Any) -> Whence:
        """Where a node's tensor comes from."""
        return self._whence.get(node) or Whence(root=node)

    def serial(self, key: int) -> int | None:
        """The number in the log of the storage behind that of an input; None where nothing told of it, or where it was
        given other memory."""
        return None if key in self._rebound else self._serial.get(key)

    def stands(self, node: Node, whence: Whence) -> None:
        """The node's tensor comes from there."""
        self._whence[node] = whence
        for tensor in tensors_of(node):
            self._there.setdefault(storage_key(tensor), []).append(node)

    def stands_as(self, node: Node, source: Node) -> None:
        """The node's tensor is another's."""
        self.stands(node, self.origin(source))
        if source in self.lost:
            self.lost[node] = self.lost[source]

    def stands_as_view(self, node: Node, source: Node) -> None:
        """The node's tensor is a view of another's, made by an op that eager did not need."""
        whence, [made] = self.origin(source), tensors_of(node)
        self.stands_as(node, source)
        if whence.told is not None:
            self._whence[node] = Whence(replace(whence.told, offset=int(made.storage_offset())))

    def is_result(self, node: Any, told: LoggedTensor) -> bool:
        """Whether the node's tensor begins where eager's does."""
        found = self.origin(node).told
        return found is not None and found.storage == told.storage and found.offset == told.offset

    def agrees(self, given: Node, told: LoggedTensor) -> bool:
        """Whether an argument is the tensor that eager read."""
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
        """Whether what an op made is what it made in the eager step, and where. `moved`: one of the two adds gradients
        into a new storage, which from now on is the other's."""
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
        """An op has written over everything that lies in a fake's storage."""
        self.lost.update((older, by) for older in self._there.get(key, ()))

    def overwrite_told(self, told: LoggedTensor, by: str) -> None:
        """Likewise, in the storage that stands for eager's."""
        self.overwrite(self._key.get(told.storage, 0), by)

    def rebind(self, target: Node, value: Node) -> None:
        """`target.data = value`: eager lets the target point to the value's storage, capture copies."""
        whence, key = self.origin(value), storage_key(tensors_of(target)[0])
        serial = whence.told.storage if whence.told is not None else self._serial.get(storage_key(tensors_of(value)[0]))
        self._rebound.add(key)
        if serial is not None:
            self._serial[key] = serial
