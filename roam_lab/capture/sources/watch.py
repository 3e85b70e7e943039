"""A fast check whether many containers still hold the very same objects.

`gc.get_referents` lists the objects to which dicts, lists, cells and objects refer, at about 7 ns an entry; reading the
same entries by key takes five times as long. The addresses of these objects are compared with the earlier ones.
"""

from __future__ import annotations

import ctypes
import gc
import weakref
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from operator import is_
from typing import Any

import numpy
import torch

from roam_lab.capture.sources.containers import MISSING, Container
from roam_lab.capture.sources.values import same

_POINTER_BYTES = ctypes.sizeof(ctypes.c_void_p)
_FIRST_ITEM = list.__basicsize__ - 2 * _POINTER_BYTES  # of the pointer to a list's items
_MANY = 1_000
"""A list of at least so many entries is compared by itself, from its own array: a hundred times as fast."""
_WEAK = (torch.Tensor, numpy.ndarray)


class _Held(weakref.ref):  # type: ignore[type-arg]
    """The weak reference by which a tensor is kept here; a class of its own, as containers may hold weak references,
    too."""


def addresses(objects: list[Any]) -> bytes:
    """The addresses of a list's entries, read from CPython's own array of them."""
    start = _first(objects)
    return ctypes.string_at(start, len(objects) * _POINTER_BYTES) if start else b""


def _first(objects: list[Any]) -> int | None:
    return ctypes.c_void_p.from_address(id(objects) + _FIRST_ITEM).value


def _addresses_are_read() -> bool:
    probe = [object(), None, 1.5]
    return addresses(probe) == numpy.array([id(one) for one in probe], dtype=numpy.uintp).tobytes()


def _c_memcmp() -> Any:
    """C's `memcmp`, which needs no copy of the addresses; None where it is not found."""
    try:
        compare = ctypes.CDLL(None).memcmp
    except (OSError, TypeError, AttributeError):
        return None
    compare.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)
    return compare


_FAST = _addresses_are_read()  # not so on other Pythons than CPython with its lock
_memcmp = _c_memcmp()


def _at(objects: list[Any], expected: bytes) -> bool:
    """Whether the entries of `objects` are exactly the objects at the `expected` addresses."""
    if len(objects) * _POINTER_BYTES != len(expected):
        return False
    if _memcmp is None:
        return addresses(objects) == expected
    return not objects or not _memcmp(_first(objects), expected, len(expected))


class Watch:
    """Watches containers for entries that are no more the objects that they were at construction. Tensors and arrays
    are kept by weak references.

    `ignored`: container -> keys that may change. `extra`: objects whose references in C are watched, too.
    """

    def __init__(
        self, containers: Sequence[Container], ignored: Mapping[Container, frozenset[Any]], extra: Sequence[Any] = ()
    ) -> None:
        self._containers, self._ignored, self._extra = list(containers), ignored, tuple(extra)
        self.renew()

    def renew(self) -> None:
        """Take the present entries as those to compare with."""
        self._dead: list[int] = []
        self._kept: list[Any] = []
        self._before: list[tuple[Container, Any]] = [(one, self._weak(one.read())) for one in self._containers]
        self._classes = [(one, type(one.owner)) for one in self._containers if _is_module(one)]
        self._arrange()

    def keep(self, containers: Sequence[Container], ignored: Mapping[Container, frozenset[Any]]) -> None:
        """Watch only these of the containers from now on; entries that have changed already still count as changed."""
        kept = set(containers)
        self._containers, self._ignored = list(containers), ignored
        self._before = [entry for entry in self._before if entry[0] in kept]
        self._classes = [entry for entry in self._classes if entry[0] in kept]
        self._arrange()
        if any(True for _ in self.differences()):
            self._seen, self._kept = b"", []  # compared by value until renewed

    def _arrange(self) -> None:
        visited: list[Any] = []
        self._empty: list[Any] = []
        self._partial: list[int] = []
        self._lists: list[tuple[list[Any], bytes]] = []
        names: list[tuple[dict[str, Any], str]] = []
        for index, one in enumerate(self._containers):
            if one in self._ignored or one.kind in ("variable", "long"):
                self._partial.append(index)
            elif one.kind == "list" and len(one.held) > _MANY and _FAST:
                self._lists.append((one.held, addresses(one.held)))
            elif one.kind == "names":
                names += [(one.held, name) for name in one.names]
            elif one.kind in ("dict", "list", "set", "deque", "attributes") and not one.held and not _is_module(one):
                self._empty.append(one.held)
            elif one.kind == "class":
                visited += gc.get_referents(vars(one.held))  # the class's dict, to which the read-only view refers
            elif one.kind == "attributes" and not _shows(one.held):
                visited += [one.held, one.owner]
            else:
                visited.append(one.held)
        self._visited = (*visited, *self._extra)
        self._dicts, self._names = [held for held, _ in names], [name for _, name in names]
        now = self._read()
        self._seen = addresses(now) if _FAST else b""
        self._modules = [one.owner for one, _ in self._classes]
        self._types = [kind for _, kind in self._classes]
        self._kept = self._weak(now)

    def unchanged(self) -> bool:
        """Whether every entry is the very object that it was. Where it is False, values may still be equal."""
        if self._dead:
            return False
        now = self._read()
        if _FAST:
            if not _at(now, self._seen):
                return False
        elif len(self._kept) != len(now) or not all(map(is_, now, map(_strong, self._kept))):
            return False
        if not all(_at(held, seen) for held, seen in self._lists):
            return False
        # after they were read: the processor has them at hand
        if any(self._empty) or list(map(type, self._modules)) != self._types:
            return False
        return not self._partial or all(not self._differing(index) for index in self._partial)

    def differences(self) -> Iterator[tuple[Container, Any, Any, Any]]:
        """Yields (container, key, before, after) for each entry whose value differs; slow."""
        for container, kind in self._classes:
            if type(container.owner) is not kind:
                yield container, "__class__", kind, type(container.owner)
        for index, (container, _) in enumerate(self._before):
            for key, before, after in self._differing(index):
                yield container, key, before, after

    def moved(self) -> bool:
        """Whether some container was replaced by one of equal value; then the objects have to be walked again, so that
        the new one is watched."""
        for container, before in self._before:
            now: Any = container.read()
            pairs = (
                ((_strong(value), now.get(key, MISSING)) for key, value in before.items())
                if isinstance(before, dict)
                else zip(map(_strong, before), now, strict=False)
            )
            if any(old is not new and isinstance(new, list | dict | set | tuple) for old, new in pairs):
                return True
        return False

    def _read(self) -> list[Any]:
        found = gc.get_referents(*self._visited)
        if self._names:
            found += map(dict.get, self._dicts, self._names, repeat(MISSING))
        return found

    def _weak(self, entries: Any) -> Any:
        if isinstance(entries, dict):
            return {key: self._one(value) for key, value in entries.items()}
        return [self._one(value) for value in entries]

    def _one(self, value: Any) -> Any:
        if not isinstance(value, _WEAK):
            return value
        dead = self._dead
        return _Held(value, lambda _: dead.append(1))

    def _differing(self, index: int) -> list[tuple[Any, Any, Any]]:
        container, before = self._before[index]
        now, ignored = container.read(), self._ignored.get(container, frozenset())
        if isinstance(before, dict):
            assert isinstance(now, dict)
            keys = [*before, *(key for key in now if key not in before)]
            pairs = [(key, _strong(before.get(key, MISSING)), now.get(key, MISSING)) for key in keys]
        else:
            if isinstance(now, set):
                old = {_strong(one) for one in before}
                lost, won = ([one for one in old if one not in now], [one for one in now if one not in old])
                return [(None, one, MISSING) for one in lost] + [(None, MISSING, one) for one in won]
            after, length = list(now), max(len(before), len(now))
            pairs = [
                (
                    place,
                    _strong(before[place]) if place < len(before) else MISSING,
                    after[place] if place < len(after) else MISSING,
                )
                for place in range(length)
            ]
        return [(key, old, new) for key, old, new in pairs if key not in ignored and not same(old, new)]


def _is_module(container: Container) -> bool:
    return container.kind == "attributes" and isinstance(container.owner, torch.nn.Module)


def _strong(value: Any) -> Any:
    alive = value() if type(value) is _Held else None
    return value if alive is None else alive


def _shows(held: dict[str, Any]) -> bool:
    """Whether `gc.get_referents` of an object's dict lists the values of its attributes; from Python 3.13 on the object
    itself may own them."""
    return len(gc.get_referents(held)) >= len(held)
