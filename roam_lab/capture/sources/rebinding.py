"""`tensor.data = value` while a step is traced: the value is copied into the tensor's memory.

Eager makes the tensor point to the value's memory instead. The step has the same effect as long as nothing else refers
to the value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from roam_lab.capture.torch_internals import FakeTensor, tensor_data
from roam_lab.errors import CaptureError


class Rebinding:
    """The assignments of one trace. `residents`: id of a tensor that stays after the step -> its name.
    `copied(target, value)` is called before each copy."""

    def __init__(self, residents: dict[int, str], copied: Callable[[torch.Tensor, torch.Tensor], None]) -> None:
        self._residents = residents
        self._copied = copied
        self._values: dict[int, tuple[str, torch.Tensor]] = {}  # id of a tensor -> its name, and the last value

    def assign(self, target: torch.Tensor, value: torch.Tensor) -> None:
        """Copy `value` into `target`. Raises CaptureError where shape, dtype or device differ."""
        name = self._residents.get(id(target))
        if name is None and not isinstance(target, FakeTensor):
            name = "tensor"  # of the user, outside the model
        if target.shape != value.shape or target.dtype != value.dtype or target.device != value.device:
            raise CaptureError(
                f"the step gives {name or 'tensor'}.data a tensor of another shape, type or device "
                f"({tuple(value.shape)} {value.dtype}); give it one like its own, or do that between steps"
            )
        with torch.no_grad():
            self._copied(target, value)
        if name is not None:  # a tensor that the step makes itself is gone after it
            self._values[id(target)] = name, value

    def check(self, holders: Iterator[tuple[str, torch.Tensor]]) -> None:
        """Raise CaptureError where an assigned value, or another view of its memory, is held under another name
        after the step. `holders`: (name, tensor) of everything that stays."""
        owners: dict[int, tuple[int, str]] = {}
        for target, (name, value) in self._values.items():
            first, owner = owners.setdefault(value.untyped_storage()._cdata, (target, name))
            if first != target:
                raise _shared(owner, "another's" if owner == name else name)
        for name, tensor in holders:
            if isinstance(tensor, FakeTensor):
                _, owner = owners.get(tensor.untyped_storage()._cdata, (0, name))
                if owner != name:
                    raise _shared(owner, name)


def _shared(owner: str, holder: str) -> CaptureError:
    return CaptureError(
        f"the step gives {owner}.data the tensor that is also {holder}, so that both share memory from then on; copy "
        f"it instead ({owner}.copy_(...) under torch.no_grad())"
    )


@contextmanager
def data_assignments(rebinding: Rebinding, residents: dict[int, str]) -> Iterator[None]:
    """A context for tracing a step, in which `tensor.data = value` calls `rebinding.assign`, for values of the
    trace."""
    original = tensor_data

    def read(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, FakeTensor) and type(tensor) in (torch.Tensor, torch.nn.Parameter):
            return tensor.detach()  # an op, by which an outside tensor becomes a constant of the trace
        return original.__get__(tensor)  # type: ignore[no-any-return]

    def write(tensor: torch.Tensor, value: torch.Tensor) -> None:
        if id(tensor) in residents or isinstance(value, FakeTensor):
            rebinding.assign(tensor, value)
        else:
            original.__set__(tensor, value)

    torch.Tensor.data = property(read, write)  # type: ignore[assignment]
    try:
        yield
    finally:
        del torch.Tensor.data
