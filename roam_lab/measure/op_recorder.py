"""A dispatch mode that writes the op log of a real eager step."""

from __future__ import annotations

import sys
from typing import Any

import torch

from roam_lab.capture.constants import in_sequence, name_of, plain
from roam_lab.capture.literals import LIFTS, literal
from roam_lab.capture.torch_internals import pytree
from roam_lab.capture.user_lines import user_line
from roam_lab.capture.writers import has_strides
from roam_lab.ir.op_log import LoggedOp, LoggedTensor, OpLog
from roam_lab.measure.storage_recorder import StorageRecorder
from roam_lab.measure.writer_test import try_writer


class OpRecorder(StorageRecorder):
    """A StorageRecorder that also writes down every operator: what it was given, and what it returned. `literals`:
    digests of the tensors that the step's code made of Python values."""

    def __init__(self, resident: Any, **settings: Any) -> None:
        self._serials: dict[int, int] = {}
        self._next = 0
        self._written: list[LoggedOp] = []
        self.literals: list[str] = []
        super().__init__(resident, **settings)

    @property
    def log(self) -> OpLog:
        """The operators that ran so far."""
        return OpLog(tuple(self._written))

    def told_as(self, tensor: torch.Tensor) -> int | None:
        """The number in the log of the storage that `tensor` has now; None where no logged operator used it."""
        return self._serials.get(tensor.untyped_storage()._cdata) if has_strides(tensor) else None

    def run(self, func: Any, args: Any, kwargs: Any, accumulated: bool) -> Any:
        if func in LIFTS:
            self.literals.append(literal(args[0]))
        leaves = pytree.tree_leaves(in_sequence(func, args, kwargs))
        arguments = tuple(self._logged(leaf) for leaf in leaves if isinstance(leaf, torch.Tensor))
        constants = tuple(plain(leaf) for leaf in leaves if not isinstance(leaf, torch.Tensor))
        result = super().run(func, args, kwargs, accumulated)
        results = pytree.tree_leaves(result)
        try_writer(func, args, kwargs, result)
        if accumulated:
            func = torch.ops.aten.add.Tensor
        answer = result if isinstance(result, bool | int | float) else None
        logged = tuple(self._logged(leaf) for leaf in results if isinstance(leaf, torch.Tensor))
        line = user_line(sys._getframe(1))
        self._written.append(LoggedOp(str(func), arguments, constants, logged, answer, accumulated, line))
        return result

    def _logged(self, tensor: torch.Tensor) -> LoggedTensor:
        if not has_strides(tensor):
            shape = () if tensor.is_nested else tuple(tensor.shape)
            return LoggedTensor(shape, (), name_of(tensor.dtype), tensor.device.type, -1, 0, 0)
        storage = tensor.untyped_storage()
        return LoggedTensor(
            tuple(tensor.shape),
            tuple(tensor.stride()),
            name_of(tensor.dtype),
            tensor.device.type,
            self.serial(storage),
            storage.nbytes(),
            int(tensor.storage_offset()),
        )

    def serial(self, storage: torch.UntypedStorage) -> int:
        """The number of `storage` in the log. A released storage and a later one at its address have different
        numbers."""
        key = storage._cdata
        if key not in self._serials:
            self._serials[key] = self._next
            self._next += 1
            self.when_released(storage, lambda: self._serials.pop(key, None))
        return self._serials[key]
