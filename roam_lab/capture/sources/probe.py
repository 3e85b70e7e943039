"""A probe: a value that notes whether anything is done with it. It is put in place of a value to find out whether a
step reads that value."""

from __future__ import annotations

import os
import sys
from types import FrameType
from typing import Any

_OURS = os.path.dirname(os.path.dirname(os.path.dirname(__file__))) + os.sep
_NOT_THEMSELVES = {"__class__", "__new__", "__init__", "__init_subclass__", "__subclasshook__", "__getattribute__"}
_FURTHER = (
    "__bool__", "__len__", "__iter__", "__next__", "__getitem__", "__setitem__", "__delitem__", "__contains__",
    "__call__", "__index__", "__int__", "__float__", "__complex__", "__enter__", "__exit__", "__getattr__",
    "__neg__", "__pos__", "__abs__", "__invert__", "__round__", "__trunc__", "__floor__", "__ceil__", "__reversed__",
    *(
        f"__{side}{name}__"
        for side in ("", "r", "i")
        for name in (
            "add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "divmod", "pow", "lshift", "rshift", "and",
            "xor", "or",
        )
    ),
)  # fmt: skip


class TouchedError(AttributeError):
    """Raised by every operation on a probe; an AttributeError, because `isinstance` reads `__class__`."""


def is_ours(frame: FrameType | None) -> bool:
    """Whether the code of this frame is roam-lab's own."""
    while frame is not None and frame.f_code.co_filename == "<frozen abc>":  # an isinstance of ours
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename.startswith(_OURS)


class Probe:
    """`touched`: whether code other than roam-lab's has done anything with it, other than a test by `is`."""

    touched = False

    def __getattribute__(self, name: str) -> Any:
        if is_ours(sys._getframe(1)):
            return object.__getattribute__(self, name)
        object.__setattr__(self, "touched", True)
        raise TouchedError(name)


def _no_such(_: Probe, name: str) -> Any:
    raise AttributeError(name)


def _telling(name: str) -> Any:
    original = _no_such if name == "__getattr__" else getattr(object, name, None)

    def raising(self: Probe, *args: Any, **kwargs: Any) -> Any:
        if original is not None and is_ours(sys._getframe(1)):
            return original(self, *args, **kwargs)
        object.__setattr__(self, "touched", True)
        raise TouchedError(name)

    return raising


for _name in {*dir(object), *_FURTHER} - _NOT_THEMSELVES:
    if _name.startswith("__") and (callable(getattr(object, _name, None)) or _name in _FURTHER):
        setattr(Probe, _name, _telling(_name))


def is_touched(value: Any) -> bool:
    """Whether `value` is a probe with which something was done."""
    return type(value) is Probe and value.touched


def touch(probe: Probe) -> None:
    """Note that something was done with `probe`. Raises TouchedError."""
    object.__setattr__(probe, "touched", True)
    raise TouchedError("type")
