"""Objects with hidden state, which no attribute shows: generators of random numbers, iterators, arrays, files. How
their state is read, compared and, where that is possible, put back."""

from __future__ import annotations

import array
import ast
import ctypes
import hashlib
import io
import itertools
import mmap
import pickle
import queue
import random
import sys
import warnings
from dataclasses import dataclass
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Literal

import numpy
import torch

from roam_lab.capture.sources.values import is_plain, same
from roam_lab.capture.torch_internals import LoaderIterator

StatefulKind = Literal["random", "iterator", "object"]

MOST_ARRAY_BYTES = 1 << 20
"""NumPy arrays of more bytes are not copied, and so cannot be put back; larger memory maps count as data."""

_RANDOM = (torch.Generator, numpy.random.Generator, numpy.random.RandomState, numpy.random.BitGenerator, random.Random)
_C_VALUES: tuple[Any, ...] = (ctypes.c_int.__mro__[1], ctypes.Array, ctypes.Structure, ctypes.Union)
_ARRAYS = (numpy.ndarray, bytearray, array.array, mmap.mmap, *_C_VALUES)
_QUEUES = (queue.SimpleQueue,)
_PYTHON = (GeneratorType, CoroutineType, AsyncGeneratorType)
_HASHES = tuple({type(getattr(hashlib, name)()) for name in sorted(hashlib.algorithms_guaranteed)})
_ITERATORS: tuple[Any, ...] = (
    iter([]), iter(()), reversed([]), iter(range(0)), iter(range(1 << 70)), iter(""), iter("ä"), iter(b""),
    iter({}), iter({}.values()), iter({}.items()), iter(set()),
)  # fmt: skip
_REWINDABLE = tuple(type(one) for one in _ITERATORS)


def is_stateful(value: Any) -> bool:
    """Whether `value` is such an object: it has state that no container (sources/containers.py) shows."""
    kind = type(value)
    if isinstance(value, mmap.mmap):
        return _is_small(value)
    return (
        issubclass(kind, (*_RANDOM, *_ARRAYS, *_PYTHON, *_QUEUES, *_HASHES, *_databases(), io.IOBase))
        or _is_c_iterator(kind)
        or _is_loader(value)
    )


def _databases() -> tuple[type, ...]:
    """The classes of SQLite's connections, if it was imported: what is written through them cannot be put back."""
    sqlite = sys.modules.get("sqlite3")
    return () if sqlite is None else (sqlite.Connection, sqlite.Cursor)


def _is_small(memory: mmap.mmap) -> bool:
    """Whether a memory map counts as state: one of a large file is data, and a closed one holds nothing."""
    try:
        return len(memory) <= MOST_ARRAY_BYTES
    except ValueError:
        return False


def _is_writable(memory: mmap.mmap) -> bool:
    """Whether a memory map is open and not read-only."""
    try:
        with memoryview(memory) as view:
            return not view.readonly
    except ValueError:
        return False


def _is_c_iterator(kind: type) -> bool:
    return hasattr(kind, "__next__") and not issubclass(kind, _PYTHON) and not kind.__flags__ & (1 << 9)  # no heap type


def _is_loader(value: Any) -> bool:
    return isinstance(value, LoaderIterator)


def holds_others(value: Any) -> bool:
    """Whether a stateful object may refer to further objects that a step reaches: an iterator to its list, a Python
    generator to its variables."""
    return not isinstance(value, (*_RANDOM, *_ARRAYS, io.IOBase))


def content_bytes(value: Any, most: int | None = None) -> bytes | None:
    """The contents of an array, C value or hash, by which changes between steps are found (sources/guards.py). Of an
    array larger than `most` bytes only some entries, spread over all of it. None for an object of another kind."""
    if isinstance(value, _HASHES):
        return _digest(value)
    if not isinstance(value, _ARRAYS):
        return None
    if not isinstance(value, numpy.ndarray):
        return bytes(value)
    if most is None or value.nbytes <= most:
        return value.tobytes()
    entries = value.reshape(-1) if value.flags.c_contiguous else value.flat
    return entries[:: -(-value.nbytes // most)].tobytes()


class Stateful:
    """A snapshot of one such object. `before`: its state at construction, None where that cannot be read. `kind`: the
    kind of Change (sources/python_state.py) that a difference is."""

    def __init__(self, path: str, value: Any) -> None:
        self.path, self.value = path, value
        self.kind: StatefulKind = (
            "random" if isinstance(value, _RANDOM) else "object" if isinstance(value, _ARRAYS) else "iterator"
        )
        self.before = _read(value)

    @property
    def restorable(self) -> bool:
        """Whether `restore` can put the state back."""
        value = self.value
        if isinstance(value, numpy.ndarray):
            return value.nbytes <= MOST_ARRAY_BYTES and value.flags.writeable
        if isinstance(value, mmap.mmap):
            return _is_writable(value)
        if isinstance(value, (*_RANDOM, bytearray, array.array, *_C_VALUES, *_QUEUES)):
            return self.before is not None
        return type(value) in _REWINDABLE or (type(value) is itertools.count and self.before is not None)

    @property
    def used_up(self) -> bool:
        """Whether running a step that uses the object would take from it for good: an iterator, a generator, a file."""
        if isinstance(self.value, io.IOBase):
            return not self.value.closed
        return self.kind == "iterator" and not self.restorable

    @property
    def used(self) -> bool:
        """Whether it was used since construction, or may have been: of some iterators no state can be read. (A stream
        without a position is a terminal, from which nothing is taken.)"""
        return self.changed() or (self.before is None and not isinstance(self.value, io.IOBase))

    def now(self) -> Any:
        """The present state, comparable with `before`."""
        return _read(self.value)

    def changed(self) -> bool:
        """Whether the state differs from `before`."""
        return not _same_state(self.before, self.now())

    def restore(self) -> Any:
        """Put the state back, where that is possible. Returns the object; for some iterators a new one, which has to
        replace the old one wherever it is referred to."""
        if not self.restorable or not self.changed():
            return self.value
        value, before = self.value, self.before
        if isinstance(value, torch.Generator):
            value.set_state(before)
        elif isinstance(value, numpy.random.Generator):
            value.bit_generator.state = before
        elif isinstance(value, numpy.random.BitGenerator):
            value.state = before
        elif isinstance(value, numpy.random.RandomState):
            value.set_state(before)
        elif isinstance(value, random.Random):
            value.setstate(before)
        elif isinstance(value, numpy.ndarray):
            value[...] = before
        elif isinstance(value, bytearray | array.array | mmap.mmap):
            value[:] = before
        elif isinstance(value, _QUEUES):
            entries = [value.get_nowait() for _ in range(value.qsize())]
            for entry in entries[: before[0]]:
                value.put(entry)
        elif isinstance(value, _C_VALUES):
            ctypes.memmove(ctypes.addressof(value), before, len(before))
        else:
            self.value = _rewound(value, before)
            self.before = _read(self.value)
        return self.value


def _read(value: Any) -> Any:
    """The state of an object, to be compared and put back; None where it cannot be read."""
    try:
        if isinstance(value, torch.Generator):
            return value.get_state()
        if isinstance(value, numpy.random.Generator):
            return value.bit_generator.state
        if isinstance(value, numpy.random.BitGenerator):
            return value.state
        if isinstance(value, numpy.random.RandomState):
            return value.get_state(legacy=False)
        if isinstance(value, random.Random):
            return value.getstate()
        if isinstance(value, numpy.ndarray):
            return value.copy() if value.nbytes <= MOST_ARRAY_BYTES else None
        if isinstance(value, bytearray | array.array | mmap.mmap):
            return value[:]
        if isinstance(value, _C_VALUES):
            return bytes(value)
        if isinstance(value, _QUEUES):
            return (value.qsize(),)
        if isinstance(value, _HASHES):
            return _digest(value)
        if isinstance(value, GeneratorType):
            return _position(value)
        if isinstance(value, io.IOBase):
            return None if value.closed else value.tell()
        if type(value) is itertools.count:
            return ast.literal_eval(f"({repr(value)[len('count(') : -1]},)")
        if _is_loader(value):
            return (value._num_yielded,)
        return _reduced(value) if _is_c_iterator(type(value)) else None
    except (OSError, ValueError, NotImplementedError, SyntaxError, TypeError, pickle.PicklingError):
        return None  # a stream without a position, a source of true randomness, a count of fractions


def _digest(value: Any) -> bytes:
    """What a hash has seen so far, as its digest; those of SHAKE have no length of their own."""
    digest: bytes = value.digest() if value.digest_size else value.digest(32)
    return digest


def _reduced(iterator: Any) -> Any:
    """What an iterator says of its state; the iterators that it draws from are states of their own. Raises TypeError
    where it says nothing (those of itertools, from Python 3.14 on)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return iterator.__reduce__()


def _position(generator: GeneratorType[Any, Any, Any]) -> Any:
    """The position of a Python generator: its instruction, and its variables."""
    frame = generator.gi_frame
    if frame is None:
        return "finished"
    variables = {name: one if is_plain(one) else _One(one) for name, one in frame.f_locals.items()}
    return frame.f_lasti, variables


@dataclass(frozen=True, eq=False)
class _One:
    """A variable's object, of which only the identity counts."""

    value: Any


def _rewound(value: Any, before: Any) -> Any:
    if type(value) is itertools.count:
        return itertools.count(*before)
    make, arguments, *position = before
    if position and arguments:
        value.__setstate__(*position)
        if _same_state(value.__reduce__(), before):
            return value
    fresh = make(*arguments)
    if position:
        fresh.__setstate__(*position)
    return fresh


def _same_state(before: Any, after: Any) -> bool:
    if isinstance(before, numpy.ndarray):
        return isinstance(after, numpy.ndarray) and _same_array(before, after)
    if isinstance(before, torch.Tensor):
        return isinstance(after, torch.Tensor) and torch.equal(before, after)
    if type(before) is not type(after):
        return False
    if isinstance(before, _One):
        return before.value is after.value
    if type(before) in _REWINDABLE:
        return before is after or _same_state(before.__reduce__(), after.__reduce__())
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(_same_state(before[key], after[key]) for key in before)
    if isinstance(before, tuple):
        return len(before) == len(after) and all(map(_same_state, before, after))
    if isinstance(before, bytearray | array.array):
        return bool(before == after)
    return same(before, after)


def _same_array(before: numpy.ndarray[Any, Any], after: numpy.ndarray[Any, Any]) -> bool:
    if before.shape != after.shape or before.dtype != after.dtype:
        return False
    if before.dtype.hasobject:
        return all(same(a, b) for a, b in zip(before.flat, after.flat, strict=True))
    return before.tobytes() == after.tobytes()
