"""What the fake device has counted."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache


@dataclass
class Counts:
    """Within a block: kernel launches, synchronisations, calls of cudaMalloc; `bytes`: in use at its end."""

    launches: int = 0
    syncs: int = 0
    mallocs: int = 0
    bytes: int = 0


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None)
    for name in ("fake_launches", "fake_syncs", "fake_mallocs"):
        getattr(library, name).restype = ctypes.c_long
    library.fake_total.restype = ctypes.c_size_t
    return library


def _now() -> tuple[int, int, int]:
    device = _library()
    return device.fake_launches(), device.fake_syncs(), device.fake_mallocs()


@contextmanager
def counted() -> Iterator[Counts]:
    found, before = Counts(), _now()
    try:
        yield found
    finally:
        found.launches, found.syncs, found.mallocs = (b - a for a, b in zip(before, _now(), strict=True))
        found.bytes = _library().fake_total()
