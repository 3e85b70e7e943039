"""Containers: objects that hold references and can be changed. How they are read and written, and how their entries are
named."""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MemberDescriptorType
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch

ContainerKind = Literal[
    "dict", "list", "set", "deque", "attributes", "slots", "cell", "class", "names", "variable", "function", "long"
]

Entries = dict[Any, Any] | list[Any] | set[Any]
"""A shallow copy of a container's entries: a dict by key, attribute or name; a list of a list or deque; a set."""

_NO_CLASS_STATE = {"_abc_impl", "_is_protocol", "_member_names_", "_member_map_", "_value2member_map_"}


class _Missing:
    """The value of an entry that is not there."""

    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()


@dataclass(frozen=True, eq=False)
class Container:
    """A container that a step reaches.

    `held`: the object itself, by kind. "dict", "list", "set", "deque", "cell", "class", "variable" (a ContextVar),
    "function": that object. "attributes": the `__dict__` of `owner`. "slots": the object with slots, which is `owner`,
    too. "names": the dict of a module's globals, of which only `names` count. "long": a container that is too long to
    be read, of which only the length counts.

    `path`: the expression by which a user would reach it. `dotted`: its keys are attributes of `path` (a module's
    parameters), not items. `tensor_paths`: id of a tensor key -> the path of that tensor.
    """

    kind: ContainerKind
    held: Any
    path: str
    owner: Any = None
    names: tuple[Any, ...] = ()
    dotted: bool = False
    tensor_paths: Mapping[int, str] = field(default_factory=dict, repr=False)

    def read(self) -> Entries:
        """A shallow copy of its present entries."""
        held = self.held
        if self.kind in ("dict", "attributes"):
            return dict(dict_type(held).items(held))
        if self.kind in ("list", "deque"):
            return list(held.__iter__() if type(held) in (list, deque) else _base_iterator(held))
        if self.kind == "set":
            return set(set.__iter__(held))
        if self.kind == "class":
            return {name: value for name, value in vars(held).items() if is_class_state(name)}
        if self.kind == "names":
            return {name: held[name] for name in self.names if name in held}
        if self.kind == "slots":
            return {name: value for name, slot in slots_of(type(held)) if (value := _slot(slot, held)) is not MISSING}
        if self.kind == "function":
            return {name: getattr(held, name) for name in ("__code__", "__defaults__", "__kwdefaults__")}
        if self.kind == "long":
            return {"length": (len(held),)}
        if self.kind == "variable":
            try:
                return {"value": held.get()}
            except LookupError:  # it has no value, and cannot lose one again
                return {}
        try:
            return {"cell_contents": held.cell_contents}
        except ValueError:  # an empty cell
            return {}

    def write(self, entries: Entries) -> None:
        """Make it hold exactly these entries, in place."""
        held = self.held
        if self.kind in ("dict", "attributes"):
            assert isinstance(entries, dict)
            base = dict_type(held)
            base.clear(held)
            for key, value in entries.items():
                base.__setitem__(held, key, value)
        elif self.kind == "list":
            list.__setitem__(held, slice(None), entries)
        elif self.kind == "deque":
            deque.clear(held)
            deque.extend(held, entries)
        elif self.kind == "set":
            set.clear(held)
            set.update(held, entries)
        else:
            self._write_names(entries)

    def entry(self, key: Any) -> Any:
        """The value of a key or index; MISSING where there is none."""
        entries = self.read()
        return entries.get(key, MISSING) if isinstance(entries, dict) else list(entries)[key]

    def put(self, key: Any, value: Any) -> None:
        """Set the value of a key or index; MISSING removes the key."""
        if self.kind in ("dict", "attributes"):
            base = dict_type(self.held)
            base.pop(self.held, key, None) if value is MISSING else base.__setitem__(self.held, key, value)
        elif self.kind in ("list", "deque"):
            self.held[key] = value
        else:
            entries = self.read()
            assert isinstance(entries, dict)
            self._write_names({name: one for name, one in {**entries, key: value}.items() if one is not MISSING})

    def _write_names(self, entries: Entries) -> None:
        assert isinstance(entries, dict)
        now = self.read()
        assert isinstance(now, dict)
        slots = dict(slots_of(type(self.held))) if self.kind == "slots" else {}
        for name in [*now, *(name for name in entries if name not in now)]:
            value = entries.get(name, MISSING)
            if value is now.get(name, MISSING):
                continue
            if self.kind == "class":
                type.__delattr__(self.held, name) if value is MISSING else type.__setattr__(self.held, name, value)
            elif self.kind == "names":
                self.held.__delitem__(name) if value is MISSING else self.held.__setitem__(name, value)
            elif self.kind == "slots":
                slots[name].__delete__(self.held) if value is MISSING else slots[name].__set__(self.held, value)
            elif self.kind == "variable":
                if value is not MISSING:
                    self.held.set(value)
            elif self.kind == "function":
                setattr(self.held, name, value)
            elif self.kind == "long":
                if isinstance(self.held, list | deque) and len(self.held) > value[0]:
                    for _ in range(len(self.held) - value[0]):
                        self.held.pop()
            elif value is MISSING:
                del self.held.cell_contents
            else:
                self.held.cell_contents = value

    def place(self, key: Any) -> str:
        """The path of the entry with this key or index."""
        if self.kind in ("cell", "variable"):
            return self.path
        if self.kind == "names":
            if self.path == "os.environ":
                return f"{self.path}[{os.fsdecode(key)!r}]"
            return f"{self.path}.{key}" if self.path else str(key)
        if self.kind == "long":
            return f"len({self.path})"
        if self.kind in ("attributes", "slots", "class", "function") or self.dotted:
            if isinstance(key, str) and not key.isdigit():
                return f"{self.path}.{key}"
            return f"{self.path}[{key}]"
        if self.kind == "set":
            return self.path
        return f"{self.path}[{self._key(key)}]"

    def _key(self, key: Any) -> str:
        if isinstance(key, torch.Tensor):
            return self.tensor_paths.get(id(key), f"a tensor of shape {tuple(key.shape)}")
        if isinstance(key, int | float | str | bytes | bool) or key is None:
            return repr(key) if len(repr(key)) <= 60 else f"{repr(key)[:57]}..."
        return self.tensor_paths.get(id(key), f"a {type(key).__name__}")


def dict_type(held: dict[Any, Any]) -> type[dict[Any, Any]]:
    """The class whose methods read and write `held` past those of a subclass: OrderedDict for one, else dict."""
    return OrderedDict if isinstance(held, OrderedDict) else dict


def is_class_state(name: str) -> bool:
    """Whether a class attribute of this name may be state of the user's (not Python's own bookkeeping)."""
    return name not in _NO_CLASS_STATE and (not (name.startswith("__") and name.endswith("__")) or name == "__call__")


_slots: WeakKeyDictionary[type, tuple[tuple[str, MemberDescriptorType], ...]] = WeakKeyDictionary()


def slots_of(kind: type) -> tuple[tuple[str, MemberDescriptorType], ...]:
    """(name, descriptor) of the slots that a type and its bases declare, as far as they are Python classes."""
    if kind not in _slots:
        _slots[kind] = tuple(
            (name, slot)
            for base in kind.__mro__
            if "__slots__" in vars(base)
            for name, slot in vars(base).items()
            if type(slot) is MemberDescriptorType
        )
    return _slots[kind]


def _slot(slot: Any, owner: Any) -> Any:
    try:
        return slot.__get__(owner)
    except AttributeError:  # not set
        return MISSING


def _base_iterator(held: Any) -> Iterator[Any]:
    iterator: Iterator[Any] = list.__iter__(held) if isinstance(held, list) else deque.__iter__(held)
    return iterator
