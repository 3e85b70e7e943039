"""Lists that a step fills. They are longer in every step, so a step that also reads one is refused."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from roam_lab.capture.sources.places import ValuePlace
from roam_lab.capture.sources.reachable import Reachable
from roam_lab.errors import CaptureError

_READING = (
    "__getitem__", "__len__", "__iter__", "__contains__", "__reversed__", "__eq__", "__ne__", "__lt__", "__le__",
    "__gt__", "__ge__", "__add__", "__mul__", "__rmul__", "__repr__", "__copy__", "index", "count", "copy",
)  # fmt: skip
_FILLING = ("append", "extend", "appendleft", "extendleft", "insert", "__iadd__")


class FilledError(Exception):
    """The step adds to these lists; it has to be traced again, to see whether it reads them."""

    def __init__(self, places: list[ValuePlace]) -> None:
        super().__init__()
        self.places = places


class _Watched:
    """Base of the list and deque that replace `original` while a step is traced, and note what is done to them."""

    original: Any
    read = False


class _WatchedList(_Watched, list[Any]):
    pass


class _WatchedDeque(_Watched, deque[Any]):
    pass


def _reading(kind: type, name: str) -> Any:
    def read(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.read = True
        return getattr(kind, name)(self, *args, **kwargs)

    return read


def _filling(kind: type, name: str) -> Any:
    def fill(self: Any, *args: Any) -> Any:
        values = [list(one) if name.startswith(("extend", "__iadd__")) else one for one in args]
        getattr(kind, name)(self.original, *values)
        result = getattr(kind, name)(self, *values)
        return self if name == "__iadd__" else result

    return fill


for _kind, _watched in ((list, _WatchedList), (deque, _WatchedDeque)):
    for _name in _READING:
        if hasattr(_kind, _name):
            setattr(_watched, _name, _reading(_kind, _name))
    for _name in _FILLING:
        if hasattr(_kind, _name):
            setattr(_watched, _name, _filling(_kind, _name))


@contextmanager
def reads_noted(reachable: Reachable, filled: Sequence[ValuePlace]) -> Iterator[None]:
    """A context for tracing a step, in which the lists that it fills are replaced, in every container, by ones that
    note reads.

    Raises CaptureError at the end where the step has read one.
    """
    replacing = {id(place.container): (_standing(place.container), place.path) for place in filled}
    with ExitStack() as back:
        for container in reachable.containers if replacing else ():
            entries = container.read()
            for key, value in entries.items() if isinstance(entries, dict) else enumerate(entries):
                if id(value) in replacing and not isinstance(entries, set):
                    back.callback(container.put, key, value)
                    container.put(key, replacing[id(value)][0])
        yield
    for watched, path in replacing.values():
        if watched.read:
            raise CaptureError(
                f"the step reads {path.rpartition('[')[0] or path}, which it also fills, so that it is longer in every "
                "step; count in a number, or read it outside the step"
            )


def _standing(original: Any) -> Any:
    watched: Any = _WatchedDeque(original, original.maxlen) if isinstance(original, deque) else _WatchedList(original)
    watched.original = original
    return watched
