"""Digests of everything that a step reaches, but for contents of tensors and what each step takes anew.

Two starts of a script have the same picture where the step's Python can do nothing else: the same classes, functions
(by their code) and modules, the same numbers and texts, the same objects at the same paths.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import logging
import re
import threading
import uuid
import weakref
from collections import namedtuple
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import PurePath
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import numpy
import torch

from roam_lab.capture.sources.containers import MISSING, Container
from roam_lab.capture.sources.guards import MOST_ARRAY_BYTES, NO_MATTER
from roam_lab.capture.sources.library import is_machinery
from roam_lab.capture.sources.reachable import Reachable
from roam_lab.capture.sources.stateful import content_bytes, is_stateful
from roam_lab.capture.sources.values import is_plain
from roam_lab.capture.stored import NotStoredError
from roam_lab.capture.stored.code import code_digest

_BY_TEXT = (
    decimal.Decimal, fractions.Fraction, uuid.UUID, datetime.date, datetime.time, datetime.timedelta, PurePath,
    re.Pattern, type(vars(namedtuple("_Example", "field"))["field"]),
)  # fmt: skip
_OF_ONE_PROCESS = frozenset({"_torchdynamo_wrapper_id", "_signature_columns"})
"""Attributes that are other in each process, and of no matter: an address that `torch.utils.checkpoint.checkpoint`
holds, and a Trainer's columns of its data, in the sequence of a set."""
_BASES = (int, float, complex, str, bytes)
_DEEPEST = 20
_BY_NAME: tuple[Any, ...] = (
    type, FunctionType, BuiltinFunctionType, MethodWrapperType, WrapperDescriptorType, GetSetDescriptorType,
    MemberDescriptorType, type(dict.fromkeys), type(str.join), type(torch.ops.aten.add),
    type(torch.ops.aten.add.Tensor), numpy.ufunc,
)  # fmt: skip
_OF_NO_MATTER: tuple[Any, ...] = (
    logging.Logger, logging.Handler, torch.Stream, torch.Event, torch.Generator, type(threading.Lock()),
    type(threading.RLock()), threading.Thread, numpy.random.Generator, numpy.random.RandomState,
    numpy.random.BitGenerator, object,
)  # fmt: skip
"""Nothing that a step computes with, or, of generators, what each step takes anew."""


Picture = dict[str, str]
"""Path -> digest of what is there."""


def picture_of(reachable: Reachable, containers: Collection[Container], left_out: Collection[str]) -> Picture:
    """`containers`: what holds references; `left_out`: paths that do not count, with all that lies below.

    Raises NotStoredError, naming the path, where something has contents that cannot be seen.
    """
    for path, why in reachable.not_walked:
        raise NotStoredError(f"the step reaches {path}, of which not all can be looked at ({why})")
    found: dict[str, Any] = {}
    out = {*left_out, *(one.path for one in containers if one.path.endswith(NO_MATTER))}
    for path, line in _Lines(reachable, containers, out).all():
        found.setdefault(path, hashlib.sha256()).update(line.encode("utf-8", "surrogateescape") + b"\n")
    return {path: one.hexdigest()[:20] for path, one in found.items()}


def first_difference(before: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """The first path under which two pictures are not the same; None where they are."""
    paths = (*now, *(path for path in before if path not in now))
    return next((path for path in paths if before.get(path) != now.get(path)), None)


def left_out_by(paths: Collection[str]) -> Callable[[str], bool]:
    """Whether a path is one of these, or below."""
    out = tuple(paths)

    def is_out(path: str) -> bool:
        if not path.startswith(out):
            return False
        return any(path.startswith(one) and path[len(one) : len(one) + 1] in ("", ".", "[") for one in out)

    return is_out


class _Lines:
    """`_shown`: ids of the objects whose contents have lines of their own."""

    def __init__(self, reachable: Reachable, containers: Collection[Container], left_out: Collection[str]) -> None:
        self._reachable, self._containers = reachable, containers
        self._is_out = left_out_by(left_out)
        shown = (thing for one in containers for thing in (one.held, one.owner) if thing is not None)
        self._shown = frozenset(map(id, shown))
        self._memory: dict[int, int] = {}

    def all(self) -> Iterator[tuple[str, str]]:
        """Path, and a line about what is there."""
        for container in self._containers:
            path = container.path
            if self._is_out(path) or path.rpartition(".")[2] in _OF_ONE_PROCESS:
                continue
            owner = "" if container.owner is None else _name(type(container.owner))
            yield path, f"{container.kind} {owner} {_name(type(container.held))}"
            yield from self._entries(container)
        for path, tensor in self._reachable.tensors:
            if not self._is_out(path):
                yield path, f"tensor {self._tensor(tensor)}"
        for path, module in self._reachable.modules:
            yield path, f"module {_name(type(module))} {module.training}"
        for path, array in self._reachable.stateful:
            if not self._is_out(path):
                yield path, f"state {self._state(path, array)}"

    def _entries(self, container: Container) -> Iterator[tuple[str, str]]:
        entries, path = container.read(), container.path
        if container.kind == "function":
            yield path, f"code {code_digest(container.held.__code__)}"
        if isinstance(entries, set):
            yield path, ", ".join(sorted(self._text(value, path) for value in entries))
            return
        pairs = list(entries.items() if isinstance(entries, dict) else enumerate(entries))
        for key, value in pairs:
            there = container.place(key)
            if not self._is_out(there) and not isinstance(value, CodeType) and key not in _OF_ONE_PROCESS:
                yield path, self._text(key, there)  # in this sequence
                yield there, self._text(value, there)

    def _text(self, value: Any, path: str, deep: int = 0) -> str:
        """A value as text: plain ones by their value, others by where they are, and what."""
        kind = type(value)
        if isinstance(value, numpy.generic):
            return f"{kind.__name__} {value.dtype} {value.tobytes().hex()}"
        if is_plain(value):
            return f"{kind.__name__} {value!r}"
        if value is MISSING:
            return "nothing"
        if deep > _DEEPEST:
            raise NotStoredError(f"the step reaches {path}, which is too deep to be looked at")
        if isinstance(value, FunctionType):
            return f"function {value.__module__}.{value.__qualname__} {code_digest(value.__code__)}"
        if isinstance(value, _BY_NAME):
            return f"{kind.__name__} {_name(value)}"
        if isinstance(value, ModuleType):
            return f"module {value.__name__}"
        if isinstance(value, enum.Enum):
            return f"{_name(kind)}.{value.name}"
        for base in _BASES:
            if isinstance(value, base):  # of a class of its own, whose attributes are seen as others'
                return f"{_name(kind)} {base.__repr__(value)}"
        if isinstance(value, _BY_TEXT):
            return f"{_name(kind)} {value!r}"
        parts = self._parts(value)
        if parts is not None:
            inner = [self._text(part, path, deep + 1) for part in parts]
            return f"{_name(kind)}({', '.join(sorted(inner) if isinstance(value, frozenset | set) else inner)})"
        there = self._reachable.paths.get(id(value))
        if not isinstance(value, torch.Tensor) and not self._is_known(value, there):
            raise NotStoredError(f"the step reaches {path}, a {_name(kind)}, whose contents cannot be seen")
        return f"{_name(kind)} at {there}"

    def _parts(self, value: Any) -> list[Any] | None:
        """What a value without a container of its own is made of."""
        if isinstance(value, tuple | frozenset):
            return list(value)
        if type(value) in (dict, list, set) and id(value) not in self._shown:  # a library's
            return [part for pair in value.items() for part in pair] if isinstance(value, dict) else list(value)
        if isinstance(value, MethodType):
            return [value.__func__, value.__self__]
        if isinstance(value, functools.partial):
            return [value.func, *value.args, *(part for pair in sorted(value.keywords.items()) for part in pair)]
        if isinstance(value, staticmethod | classmethod):
            return [value.__func__]
        if isinstance(value, property):
            return [value.fget, value.fset]
        if isinstance(value, functools.cached_property):
            return [value.func]
        if isinstance(value, functools._lru_cache_wrapper):
            return [value.__wrapped__]
        if isinstance(value, MappingProxyType):
            return [part for pair in value.items() for part in pair]
        if isinstance(value, weakref.ReferenceType):
            return [value()]
        return None

    def _is_known(self, value: Any, there: str | None) -> bool:
        held = getattr(value, "__dict__", None)  # alone, of an object some of whose attributes do not count
        if id(value) in self._shown or (held is not None and id(held) in self._shown):
            return True
        if is_stateful(value) or type(value) in _OF_NO_MATTER or is_machinery(type(value).__module__):
            return True
        return isinstance(value, _OF_NO_MATTER[:-1]) or (there is None and not isinstance(value, dict | list | set))

    def _tensor(self, tensor: torch.Tensor) -> str:
        """How it lies, and with which others; not what is in it."""
        form = [_name(type(tensor)), tensor.dtype, tensor.device, list(tensor.shape), tensor.requires_grad]
        if tensor.layout is torch.strided and tensor.device.type != "meta":
            storage = tensor.untyped_storage()
            number = self._memory.setdefault(storage.data_ptr(), len(self._memory))
            form += [list(tensor.stride()), tensor.storage_offset(), storage.nbytes(), number]
            form += [tensor.is_leaf, tensor.is_conj(), tensor.is_neg()]
        return repr(form)

    def _state(self, path: str, value: Any) -> str:
        content = content_bytes(value, MOST_ARRAY_BYTES)
        if content is not None and getattr(value, "nbytes", 0) > MOST_ARRAY_BYTES:
            raise NotStoredError(f"the step reaches {path}, an array too large to be looked at")
        text = "" if content is None else hashlib.sha256(repr(content).encode()).hexdigest()
        return f"{_name(type(value))} {text}"


def _name(value: Any) -> str:
    """The full name of a class or function."""
    module = getattr(value, "__module__", None)
    return f"{module}.{getattr(value, '__qualname__', None) or getattr(value, '__name__', value)}"
