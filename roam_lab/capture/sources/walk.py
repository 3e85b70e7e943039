"""The walk from named roots through attributes, containers, closures, globals and classes of the user's."""

from __future__ import annotations

import enum
import functools
import gc
import logging
import threading
import weakref
from collections import Counter, OrderedDict, defaultdict, deque
from contextvars import ContextVar
from pathlib import PurePath
from types import (
    BuiltinMethodType,
    CellType,
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

from roam_lab.capture.sources.containers import Container, ContainerKind, slots_of
from roam_lab.capture.sources.library import is_machinery, is_prepared, is_user_code, notes_of
from roam_lab.capture.sources.names_watched import NamesWatched
from roam_lab.capture.sources.stateful import holds_others, is_stateful
from roam_lab.capture.sources.values import is_plain
from roam_lab.distributed.wrapper import own_attributes

MOST_ENTRIES = 10_000
"""What lies in longer lists, dicts and sets is data, not state: they are named in `Reachable.not_walked`."""
MOST_LISTED = 200_000
"""Of a list up to this length it is known which objects are in it; of what is longer, how many."""
MOST_OBJECTS = 200_000

_STOPS = (
    CodeType, GetSetDescriptorType, MemberDescriptorType, WrapperDescriptorType, logging.Logger, logging.Handler,
    torch.Stream, torch.Event,
    type(threading.Lock()), type(threading.RLock()),
)  # fmt: skip
_NO_VARIABLES = (ModuleType, type, FunctionType, BuiltinMethodType)
_PLAIN_IF_NOT_USERS = (threading.Thread, enum.Enum, PurePath)  # a path notes its text once that was asked for
_WEAK = (weakref.ReferenceType, weakref.ProxyType, weakref.CallableProxyType)
_BARE = {dict, list, set, tuple, frozenset, deque, OrderedDict, Counter, defaultdict}  # nobody sets their attributes
_MEMBERS = ("_parameters", "_buffers", "_modules")


class Walk:
    """Breadth first from one root after the other; what it found lies in its attributes, named as in `Reachable`."""

    def __init__(self, most_objects: int, most_entries: int) -> None:
        self._most_objects, self._most_entries = most_objects, most_entries
        self.paths: dict[int, str] = {}
        self.kept: list[Any] = []
        self._keys: list[tuple[Any, str]] = []
        self._full = False
        self._queue: deque[tuple[Any, str]] = deque()
        self.names = NamesWatched()
        self.containers: list[Container] = []
        self.tensors: list[tuple[str, torch.Tensor]] = []
        self.modules: list[tuple[str, torch.nn.Module]] = []
        self.optimizers: list[tuple[str, torch.optim.Optimizer]] = []
        self.stateful: list[tuple[str, Any]] = []
        self.caches: list[Any] = []
        self.not_walked: list[tuple[str, str]] = []

    def run(self, root: Any, name: str) -> None:
        """Add what this root reaches."""
        self._add(root, name)
        while self._queue or self._keys:
            while self._queue:
                self._visit(*self._queue.popleft())
            for key, path in self._keys:  # a parameter has better names than that of a key
                self._add(key, path)
            self._keys.clear()

    def _add(self, value: Any, path: str) -> None:
        if is_plain(value) or id(value) in self.paths:
            return
        if len(self.kept) >= self._most_objects:
            if not self._full:
                self._full = True
                self.not_walked.append((path, f"more than {self._most_objects:,} objects are reachable"))
            return
        self.paths[id(value)] = path
        self.kept.append(value)
        self._queue.append((value, path))

    def _visit(self, value: Any, path: str) -> None:
        kind = type(value)
        if issubclass(kind, ModuleType):
            self._visit_module(value, path)
            return
        if issubclass(kind, _STOPS) or (issubclass(kind, _PLAIN_IF_NOT_USERS) and not is_user_code(kind.__module__)):
            return
        if issubclass(kind, _WEAK):
            self._add(_referent(value), path)
        elif issubclass(kind, torch.Tensor):
            self._visit_tensor(value, path)
        elif issubclass(kind, type):
            self._visit_class(value)
        elif kind is FunctionType:
            self._visit_function(value, path)
        elif kind is MethodType:
            self._add(value.__func__, path)
            self._add(value.__self__, f"{path}.__self__")
        elif kind in (BuiltinMethodType, MethodWrapperType):
            if not isinstance(value.__self__, ModuleType | type):
                self._add(value.__self__, f"{path}.__self__")
        elif kind is CellType:
            self._contain("cell", value, path)
        elif kind is ContextVar:
            self._contain("variable", value, path)
        elif is_stateful(value):
            self._visit_stateful(value, path)
        else:
            self._visit_object(value, path)

    def _visit_tensor(self, tensor: torch.Tensor, path: str) -> None:
        self.tensors.append((path, tensor))
        attributes = vars(tensor)
        if attributes or isinstance(tensor, torch.nn.Parameter):
            self._contain("attributes", attributes, path, owner=tensor)
        for name in ("_backward_hooks", "_post_accumulate_grad_hooks"):
            if hooks := getattr(tensor, name, None):
                self._contain("dict", hooks, f"{path}.{name}")

    def _visit_module(self, module: ModuleType, path: str) -> None:
        """A module of the user's that is held as a value, such as a configuration: its variables."""
        if is_user_code(module.__name__):
            names = [name for name, value in vars(module).items() if not isinstance(value, _NO_VARIABLES)]
            for value, place in self.names.of_module(vars(module), path, sorted(names)):
                self._add(value, place)

    def _visit_class(self, kind: type) -> None:
        if not is_user_code(kind.__module__):
            return
        if issubclass(kind, enum.Enum):
            for name, member in kind.__members__.items():
                self._add(member, f"{kind.__name__}.{name}")
            return
        name = kind.__name__
        self._contain("class", kind, name)
        if type(kind) is not type:
            self._add(type(kind), type(kind).__name__)
        for base in kind.__mro__[1:]:
            self._add(base, base.__name__)

    def _visit_function(self, function: FunctionType, path: str) -> None:
        code = function.__code__
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            self._add(cell, self.names.of_cell(name, cell, function))
        users = is_user_code(function.__module__)
        if users or vars(function):
            self._contain("attributes", vars(function), path, owner=function)
        if not users:
            return
        for index, default in enumerate(function.__defaults__ or ()):
            self._add(default, f"{path}.__defaults__[{index}]")
        for name, default in (function.__kwdefaults__ or {}).items():
            self._add(default, f"{path}.__kwdefaults__[{name!r}]")
        for value, place in self.names.of_function(function, path):
            self._add(value, place)

    def _visit_stateful(self, value: Any, path: str) -> None:
        self.stateful.append((path, value))
        inner: list[Any] = []
        if isinstance(value, numpy.ndarray):
            inner = list(value.flat) if value.dtype.hasobject and value.size <= self._most_entries else []
        elif holds_others(value):
            inner = gc.get_referents(value)
        for item in inner:
            if not isinstance(item, type):
                self._add(item, path)
        self._visit_attributes(value, path)

    def _visit_object(self, value: Any, path: str) -> None:
        kind = type(value)
        if isinstance(value, functools._lru_cache_wrapper):
            self.caches.append(value)
        if isinstance(value, functools.partial):
            self._add(value.func, path)
            self._add(value.args, f"{path}.args")
            self._add(value.keywords, f"{path}.keywords")
        elif isinstance(value, staticmethod | classmethod):
            self._add(value.__func__, path)
            return
        elif isinstance(value, property):
            for function in (value.fget, value.fset):
                self._add(function, path)
            return
        elif issubclass(kind, dict):
            self._contain("dict", value, path)
        elif issubclass(kind, list):
            self._contain("list", value, path)
        elif issubclass(kind, deque):
            self._contain("deque", value, path)
        elif issubclass(kind, set):
            self._contain("set", value, path)
        elif issubclass(kind, tuple | frozenset):
            self._walk_entries(list(value), lambda index: f"{path}[{index}]", path)
        elif kind is MappingProxyType:
            for behind in gc.get_referents(value):
                self._add(behind, path)
        elif kind is memoryview:
            self._add(value.obj, path)
        if issubclass(kind, torch.nn.Module):
            self.modules.append((path, value))
        elif is_machinery(kind.__module__):
            return
        elif issubclass(kind, torch.optim.Optimizer) and not is_prepared(value):
            self.optimizers.append((path, value))
            for index, group in enumerate(value.param_groups):
                for position, parameter in enumerate(group["params"]):
                    self._add(parameter, f"{path}.param_groups[{index}]['params'][{position}]")
        self._visit_attributes(value, path)

    def _visit_attributes(self, value: Any, path: str) -> None:
        kind = type(value)
        if kind in _BARE:
            return
        try:
            local = issubclass(kind, threading.local)  # it shows what it holds for this thread
            attributes = value.__dict__ if local else object.__getattribute__(value, "__dict__")
        except AttributeError:
            attributes = None
        if type(attributes) is dict:
            if issubclass(kind, torch.nn.Module):
                self._contain_members(attributes, path)
            left_out = notes_of(kind) | frozenset(own_attributes(value))
            if left_out:
                self._contain(
                    "names", attributes, path, names=tuple(name for name in attributes if name not in left_out)
                )
            else:
                self._contain("attributes", attributes, path, owner=value)
        if slots_of(kind):
            self._contain("slots", value, path, owner=value)
        self._add(kind, kind.__name__)

    def _contain_members(self, attributes: dict[str, Any], path: str) -> None:
        """A module's parameters, buffers and children: attributes to its user."""
        for name in _MEMBERS:
            members = attributes.get(name)
            if isinstance(members, dict) and id(members) not in self.paths:
                self.paths[id(members)] = path
                self._contain("dict", members, path, dotted=True)

    def _contain(
        self,
        kind: ContainerKind,
        held: Any,
        path: str,
        *,
        owner: Any = None,
        names: tuple[str, ...] = (),
        dotted: bool = False,
    ) -> None:
        if kind in ("dict", "list", "deque", "set") and len(held) > self._most_entries:
            self.not_walked.append((path, f"{len(held):,} entries"))
            listed = kind == "list" and len(held) <= MOST_LISTED
            self.containers.append(Container(kind if listed else "long", held, path, tensor_paths=self.paths))
            return
        if kind == "attributes":
            self.paths.setdefault(id(held), path)
        container = Container(kind, held, path, owner, names, dotted, self.paths)
        self.containers.append(container)
        entries = container.read()
        if isinstance(entries, dict):
            if kind == "dict":
                self._keys += [(key, f"a key of {path}") for key in entries if not is_plain(key)]
            for key, value in entries.items():
                self._add(value, container.place(key))
        else:
            self._walk_entries(list(entries), container.place, path)

    def _walk_entries(self, entries: list[Any], place: Any, path: str) -> None:
        if len(entries) > self._most_entries:
            self.not_walked.append((path, f"{len(entries):,} entries"))
            return
        for index, value in enumerate(entries):
            if not is_plain(value):
                self._add(value, place(index))


def _referent(weak: Any) -> Any:
    """What a weak reference or a proxy (a Trainer that its modules know) refers to; None where it is gone."""
    try:
        return weak() if isinstance(weak, weakref.ReferenceType) else weak.__repr__.__self__
    except (ReferenceError, AttributeError):
        return None
