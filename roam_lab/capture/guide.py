"""The guide follows the op log of the eager step during a trace: every traced op must be the one that eager ran.

The log also supplies what fake tensors do not know: the strides that the real kernel chose, the bytes that it
allocated, and the numbers that ops returned.
"""

from __future__ import annotations

from typing import Any

import torch

from roam_lab.capture.constants import in_sequence
from roam_lab.capture.logged_fakes import fake_of_logged, filled
from roam_lab.capture.moves import MOVED, is_view, moves, writes
from roam_lab.capture.torch_internals import FakeTensor, in_backward, pytree
from roam_lab.errors import PartedError
from roam_lab.ir.op_log import LoggedOp, LoggedTensor, OpLog

NOT_COMPARED = frozenset(
    {"aten.detach.default", "aten.alias.default", "aten.lift_fresh.default", "aten.lift_fresh_copy.default"}
)
"""Ops that compute nothing, and that are not compared: a trace runs more or fewer of them than eager."""

_NUMBER_AS_TENSOR = "aten.scalar_tensor.default"
"""The op that a trace runs on a symbol in `tensor[mask] = number`; for a plain number eager runs none."""

_SHAPES_FOR_THEIR_BACKWARD = {getattr(torch.ops.aten._ctc_loss, name) for name in torch.ops.aten._ctc_loss.overloads()}
"""Ops whose second result has a shape that depends on values; only the op's own backward reads that result."""


class ShapeOfValuesError(Exception):
    """A shape depends on a number read out of a tensor; the trace is made again with that number fixed.

    `line`: the user's, where it is known.
    """

    def __init__(self, line: str | None = None) -> None:
        super().__init__()
        self.line = line


def is_compared(target: str) -> bool:
    """Whether trace and log must agree in ops of this name, which is none of the profiler's, prim's or roam-lab's."""
    return target not in NOT_COMPARED and not target.startswith(("profiler.", "prim.", "roam_lab."))


def compared_ops(log: OpLog) -> list[LoggedOp]:
    """The ops of the log that a trace must run, in sequence."""
    return [op for op in log.ops if is_compared(op.target)]


class Guide:
    """Walks the log as the trace goes on.

    It is called for each op: `begin(func, args, kwargs)` before it, `correct(func, result)` inside fake mode,
    `end(result)` after it; and `finish()` when the step is over. Each raises CaptureError where trace and log differ.
    `skipped`: positions (in `compared_ops`) of ops that only move data and that the trace does not run; `loose`: of ops
    whose operands were moved by other ops than in eager, so that only their shapes and dtypes are compared.
    """

    def __init__(self, log: OpLog) -> None:
        self._ops = compared_ops(log)
        self._at = -1
        self._storages: dict[int, int] = {}
        self._kept: list[torch.UntypedStorage] = []
        self.current: LoggedOp | None = None
        self._asked: Any = None
        self.bytes_of: dict[int, int] = {}
        self.skipped: set[int] = set()
        self.loose: set[int] = set()
        self._extra = self._apart = False
        self._serials: set[int] = set()

    def begin(self, func: Any, args: Any, kwargs: Any, source: str | None) -> None:
        """Check that the op about to be traced is the next op of the log, on the same tensors."""
        self.current = self._asked = None
        self._extra = False
        label = str(func)
        if not is_compared(label):
            return
        given = pytree.tree_leaves(in_sequence(func, args, kwargs))
        backward = in_backward()
        found = self._following(label, given, backward)
        if found is None and label == _NUMBER_AS_TENSOR and isinstance(given[0], torch.SymInt | torch.SymFloat):
            self._extra = True
            return
        if found is None and moves(label, backward) and not (writes(label) and self._is_known(given[0])):
            self._extra = self._apart = True
            return
        if found is None:
            self._at = self._stopped(label, backward)
            raise self._difference(label, given, source)
        self.skipped.update(range(self._at + 1, found))
        self._apart = self._apart or found > self._at + 1
        self._at = found
        op = self._ops[found]
        if self._apart and moves(label, backward) and not self._fits(op, label, given, loose=False):
            self.loose.add(found)
        else:
            self._compare(
                [leaf for leaf in given if isinstance(leaf, torch.Tensor)], op.arguments, f"{label} is given", source
            )
            self._apart = self._apart and moves(label, backward)
        self.current, self._asked = op, func

    def _following(self, label: str, given: list[Any], backward: bool) -> int | None:
        """The position of the next matching op of the log, past ops that only move data; None where there is none."""
        at, loose = self._at + 1, backward and moves(label, True)
        while at < len(self._ops):
            op = self._ops[at]
            apart = self._apart or at > self._at + 1
            if self._fits(op, label, given, loose=loose and apart):
                return at
            if not self._may_skip(op, backward):
                return None
            at += 1
        return None

    def _stopped(self, label: str, backward: bool) -> int:
        """The position of the op that an error names: the next one of that name, or that may not be skipped."""
        for at in range(self._at + 1, len(self._ops)):
            if self._ops[at].target == label or not self._may_skip(self._ops[at], backward):
                return at
        return len(self._ops)

    def _may_skip(self, op: LoggedOp, backward: bool) -> bool:
        """Whether the trace may leave this op of the log out: it only moves data, and writes no tensor of the trace."""
        return moves(op.target, backward) and not (writes(op.target) and op.arguments[0].storage in self._serials)

    def _fits(self, op: LoggedOp, label: str, given: list[Any], loose: bool) -> bool:
        """Whether a traced op is this one of the log. `loose`: tensors need only have the same shape and dtype."""
        tensors = [leaf for leaf in given if isinstance(leaf, torch.Tensor)]
        if op.target != label or len(tensors) != len(op.arguments):
            return False
        if any(not isinstance(size, int) for tensor in tensors for size in (*tensor.shape, *tensor.stride())):
            return True  # `_compare` has its say
        if is_view(label):
            numbers = [leaf for leaf in given if not isinstance(leaf, torch.Tensor)]
            if any(isinstance(one, int) and one != logged for one, logged in zip(numbers, op.constants, strict=False)):
                return False
        return all(self._is(tensor, logged, loose) for tensor, logged in zip(tensors, op.arguments, strict=True))

    def _is(self, tensor: torch.Tensor, real: LoggedTensor, loose: bool) -> bool:
        shape = tuple(tensor.shape)
        if shape != real.shape or str(tensor.dtype).removeprefix("torch.") != real.dtype:
            return False
        if loose or tensor.layout is not torch.strided or real.storage < 0:
            return True
        if tensor.numel() and strides_that_matter(shape, tensor.stride()) != strides_that_matter(shape, real.stride):
            return False
        known = self._storages.get(tensor.untyped_storage()._cdata)
        return known == real.storage if known is not None else real.storage not in self._serials

    def _is_known(self, tensor: Any) -> bool:
        return isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata in self._storages

    def _difference(self, label: str, given: list[Any], source: str | None) -> PartedError:
        """The error that says why the traced op is not the op of the log at position `_at`."""
        if self._at >= len(self._ops):
            return self._parted(f"the captured step runs {label}, and the eager step is over by then", source)
        op = self._ops[self._at]
        if op.target == label:
            tensors = [leaf for leaf in given if isinstance(leaf, torch.Tensor)]
            try:
                self._compare(tensors, op.arguments, f"{label} is given", source)
            except PartedError as error:
                return error
        other = "with other arguments" if op.target == label else f"where the eager step runs {op.target}"
        return self._parted(f"the captured step runs {label} {other}", source)

    @property
    def position(self) -> int | None:
        """The position of the present op in `compared_ops`, or MOVED; None where it is in no log."""
        if self._extra:
            return MOVED
        return None if self.current is None else self._at

    def answer(self) -> bool | int | float | None:
        """What the present op, which reads a number, returned in the eager step."""
        return None if self.current is None else self.current.answer

    def _are_new(self, op: LoggedOp) -> bool:
        """Whether the op made all that it returned."""
        return all(real.storage >= 0 and real.storage not in self._serials for real in op.results)

    def correct(self, func: Any, result: Any) -> Any:
        """The fake result with the strides, dtype and device of the real kernel's result. Called inside fake mode,
        below the tracer."""
        if self.current is None or func is not self._asked:
            return result
        self._asked = None
        if not func._schema.is_mutable and self._are_new(self.current):
            result = filled(result, self.current.results)
        results = iter(self.current.results)
        owners: dict[int, int] = {}  # fake storage of a result -> its storage in the log
        return pytree.tree_map_only(torch.Tensor, lambda one: self._corrected(one, next(results, None), owners), result)

    def _corrected(self, tensor: torch.Tensor, real: LoggedTensor | None, owners: dict[int, int]) -> torch.Tensor:
        if real is None or not isinstance(tensor, FakeTensor) or tensor.layout is not torch.strided:
            return tensor
        empty = isinstance(tensor.numel(), int) and tensor.numel() == 0  # a workspace of unknown size
        if any(not isinstance(size, int) for size in tensor.shape) or (tuple(tensor.shape) != real.shape and not empty):
            return tensor
        apart = owners.setdefault(tensor.untyped_storage()._cdata, real.storage) != real.storage
        dtype = getattr(torch, real.dtype)
        there = tensor.device.type == real.device
        known = dtype == tensor.dtype and tuple(tensor.shape) == real.shape and tuple(tensor.stride()) == real.stride
        if there and known and not apart:
            return tensor
        if tensor.untyped_storage()._cdata in self._storages:
            alike = strides_that_matter(real.shape, tensor.stride()) == strides_that_matter(real.shape, real.stride)
            if not alike or empty or not is_view(self.current.target if self.current else ""):
                return tensor  # the strides of a view follow from its base
            return tensor.as_strided(real.shape, real.stride)  # but dimensions of one entry may have any
        if tensor.storage_offset() != 0 or real.offset != 0:
            return tensor
        mode, device = tensor.fake_mode, tensor.fake_device if there else torch.device(real.device)
        meta = torch.empty_strided(real.shape, real.stride, dtype=dtype, device="meta")
        return FakeTensor(mode, meta, device)

    def made(self, mode: Any, func: Any) -> Any:
        """Fakes of the results in the log, for an op whose fake kernel raises on arguments that the real one accepts.
        None where they cannot be made so: for ops that write their arguments or return views, or whose shapes depend on
        values."""
        op = self.current
        if op is None or func is not self._asked or func._schema.is_mutable or not op.results:
            return None
        if torch.Tag.dynamic_output_shape in func.tags and func not in _SHAPES_FOR_THEIR_BACKWARD:
            return None
        if not self._are_new(op):
            return None
        self._asked = None
        fakes = [fake_of_logged(mode, one) for one in op.results]
        return fakes[0] if len(func._schema.returns) == 1 else tuple(fakes)

    def end(self, result: Any, source: str | None) -> None:
        """Check that the results agree with the log in shape, strides and dtype."""
        if self.current is None:
            return
        tensors = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self._compare(tensors, self.current.results, f"{self.current.target} returns", source)

    def finish(self) -> None:
        """Check that the log is at its end, too."""
        left = [op for op in self._ops[self._at + 1 :] if not is_view(op.target)]
        self.skipped.update(range(self._at + 1, len(self._ops)))
        if left:
            op = left[0]
            raise self._parted(f"the captured step is over where the eager step goes on with {op.target}", op.source)

    def rebound(self, target: torch.Tensor, value: torch.Tensor) -> None:
        """Note `target.data = value`: eager's target now has the value's storage, the traced target keeps its own."""
        serial = self._storages.get(value.untyped_storage()._cdata)
        if serial is not None:
            self._kept.append(target.untyped_storage())
            self._storages[target.untyped_storage()._cdata] = serial
            self._serials.add(serial)

    def _compare(
        self, tensors: list[torch.Tensor], expected: tuple[LoggedTensor, ...], what: str, source: str | None
    ) -> None:
        if len(tensors) != len(expected):
            raise self._parted(f"{what} {len(tensors)} tensors, in the eager step {len(expected)}", source)
        for tensor, logged in zip(tensors, expected, strict=True):
            shape, dtype = tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")
            if any(not isinstance(size, int) for size in (*shape, *tensor.stride())):
                raise ShapeOfValuesError(source)
            if shape != logged.shape or dtype != logged.dtype or tensor.device.type != logged.device:
                raise self._parted(f"{what} {dtype}{list(shape)}, in the eager step {logged.text()}", source)
            if tensor.layout is not torch.strided or logged.storage < 0:
                continue
            if tensor.numel() and strides_that_matter(shape, tensor.stride()) != strides_that_matter(
                shape, logged.stride
            ):
                raise self._parted(
                    f"{what} {dtype}{list(shape)} with strides {list(tensor.stride())}, in the eager step "
                    f"{list(logged.stride)}",
                    source,
                )
            key = tensor.untyped_storage()._cdata
            if key not in self._storages:
                self._kept.append(tensor.untyped_storage())  # its address stays its own
            known = self._storages.setdefault(key, logged.storage)
            self._serials.add(logged.storage)
            if known != logged.storage:
                raise self._parted(f"{what} another tensor than in the eager step ({logged.text()})", source)
            self.bytes_of[key] = logged.storage_bytes

    def _parted(self, what: str, source: str | None) -> PartedError:
        where = f"{source}: " if source else ""
        return PartedError(
            f"{where}{what} (op {self._at}), so the plan would not train as eager does; train this step eagerly, and "
            "report it with the model"
        )


def strides_that_matter(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of those dimensions that have more than one entry; the others have no effect."""
    return tuple(int(stride) for size, stride in zip(shape, strides, strict=True) if size != 1)
