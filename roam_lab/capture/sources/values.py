"""When two Python values count as the same: plain values bit for bit, everything else by identity."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from types import MethodType
from typing import Any
from weakref import ReferenceType

import numpy
import torch

_PLAIN = (
    type(None), bool, int, float, complex, str, bytes, type(Ellipsis), range, slice,
    torch.dtype, torch.device, torch.layout, torch.memory_format, torch.Size, numpy.dtype,
)  # fmt: skip
_PLAIN_SET = frozenset(_PLAIN)
_NUMBERS = (type(None), bool, int, float, complex, str, bytes, numpy.generic)
_MOST_ENTRIES, _DEEPEST = 1_000, 20


def is_plain(value: Any) -> bool:
    """Whether `value` is immutable and refers to no other objects: a number, a string, a dtype, a size, ..."""
    return type(value) in _PLAIN_SET or isinstance(value, numpy.generic | numpy.dtype)


def is_number(value: Any) -> bool:
    """Whether `value` is a number, truth value, string or None, which ops take as arguments."""
    return isinstance(value, _NUMBERS)


def same(before: Any, after: Any, depth: int = 0) -> bool:
    """Whether two values are one object, or equal bit for bit: NaN is the same as NaN; 0.0 and -0.0, True and 1 are
    not.

    Tuples, lists, dicts and sets (of exactly these types, or with one default; at most 1,000 entries) are the same if
    their entries are.
    """
    if before is after:
        return True
    kind = type(before)
    if kind is not type(after):
        return False
    if kind is float:
        return _same_float(before, after)
    if kind is complex:
        return _same_float(before.real, after.real) and _same_float(before.imag, after.imag)
    if kind in _PLAIN_SET:
        return bool(before == after)
    if isinstance(before, numpy.generic):
        return before.dtype == after.dtype and before.tobytes() == after.tobytes() and not before.dtype.hasobject
    if kind is ReferenceType:
        return before() is not None and before() is after()
    if kind is MethodType:
        return before.__self__ is after.__self__ and before.__func__ is after.__func__
    if kind is defaultdict:
        return before.default_factory is after.default_factory and _same_entries(dict, before, after, depth)
    if kind in (list, dict, set, frozenset) or issubclass(kind, tuple):
        return _same_entries(kind, before, after, depth)
    return False


def equal(before: Any, after: Any) -> bool:
    """Whether two objects are the same, or containers of one kind with equal plain values or the same objects in
    them."""
    if before is after:
        return True
    if isinstance(before, dict) and isinstance(after, dict):
        return list(before) == list(after) and all(equal(before[key], after[key]) for key in before)
    if isinstance(before, list | tuple | deque) and isinstance(after, list | tuple | deque):
        return len(before) == len(after) and all(map(equal, before, after))
    if isinstance(before, set | frozenset) and isinstance(after, set | frozenset):
        return bool(before == after)
    return (
        type(before) is type(after)
        and isinstance(before, bool | int | str | bytes | type(None))
        and bool(before == after)
    )


def _same_entries(kind: type, before: Any, after: Any, depth: int) -> bool:
    if len(before) != len(after) or len(before) > _MOST_ENTRIES or depth > _DEEPEST:
        return False
    if kind in (set, frozenset):
        return all(map(is_plain, before)) and {(type(e), e) for e in before} == {(type(e), e) for e in after}
    if kind is dict:
        return all(
            same(key, other, depth + 1) and same(before[key], after[other], depth + 1)
            for key, other in zip(before, after, strict=True)
        )
    return all(same(a, b, depth + 1) for a, b in zip(before, after, strict=True))


def _same_float(before: float, after: float) -> bool:
    if before != before or after != after:
        return before != before and after != after
    return before == after and math.copysign(1.0, before) == math.copysign(1.0, after)
