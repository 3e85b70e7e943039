"""What the fake device has counted."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

COUNTED = ("launches", "syncs", "mallocs", "side_copies", "events", "waits")


@dataclass
class Counts:
    """Within a block: kernel launches, synchronisations, calls of cudaMalloc, copies on other streams than the default
    one, events recorded and waited for by a stream; at its end `bytes` in use, and `pinned` bytes of the host."""

    launches: int = 0
    syncs: int = 0
    mallocs: int = 0
    side_copies: int = 0
    events: int = 0
    waits: int = 0
    bytes: int = 0
    pinned: int = 0


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None)
    for name in COUNTED:
        getattr(library, f"fake_{name}").restype = ctypes.c_long
    library.fake_total.restype = library.fake_pinned.restype = ctypes.c_size_t
    return library


def _now() -> dict[str, int]:
    return {name: getattr(_library(), f"fake_{name}")() for name in COUNTED}


@contextmanager
def counted() -> Iterator[Counts]:
    found, before = Counts(), _now()
    try:
        yield found
    finally:
        for name, now in _now().items():
            setattr(found, name, now - before[name])
        found.bytes, found.pinned = _library().fake_total(), _library().fake_pinned()
