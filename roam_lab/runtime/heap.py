"""What ops allocate themselves on the CPU comes from malloc, which keeps freed memory resident. Give it back in time.

Before an op that allocates, the program tells what it will need; when the process is about to pass what was
planned, free memory goes back to the system. Elsewhere malloc may keep it, since faulting pages in again costs time.
"""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

SLACK, SLACK_BYTES = 0.02, 4 * 2**20
"""How far the process may pass the plan before memory is given back: this share of it and so many bytes."""
REUSED = 0.5
"""Share of malloc's free memory that a new request is taken to find a place in; the rest is in pieces too small."""


_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Heap:
    """Watches the resident memory of this process. `planned`: bytes that arena and ops may hold together.

    `base`: resident bytes just before the arena was made (None: now).
    """

    def __init__(self, arena: int, planned: int, base: int | None = None) -> None:
        self._arena = arena
        self._limit = planned + int(planned * SLACK) + SLACK_BYTES
        self._base = self._resident() if base is None else base
        self._kept = 0

    @property
    def works(self) -> bool:
        """True where both the C library and the system can do it (glibc on Linux)."""
        return _malloc_trim() is not None and _statm() is not None

    def _resident(self) -> int:
        return resident_bytes()

    def _trim(self) -> None:
        trim()

    def start(self) -> None:
        """At the start of a step: what the process holds above the plan by now is the user's, not ours."""
        if self._resident() - self._base > self._limit:
            self._trim()
            self._base = max(self._base, self._resident() - self._arena)

    def before(self, need: int, live: int, absent: int = 0) -> None:
        """Before an op that allocates `need` bytes while others of `live` bytes are alive, and `absent` bytes of the
        arena are given up."""
        held = self._arena - absent + live
        used = self._resident() - self._base
        free = max(0, used - held)
        if used + need - min(need, free * REUSED) > self._limit and free >= self._kept:
            self._trim()
            # what stays is no free memory of malloc's; to trim before every op would take longer than the ops
            self._kept = max(0, self._resident() - self._base - held) + SLACK_BYTES


def resident_bytes() -> int:
    """Bytes of this process in memory; 0 where the system does not tell."""
    statm = _statm()
    return 0 if statm is None else int(os.pread(statm, 128, 0).split()[1]) * _PAGE


def trim() -> None:
    """Give the free memory of malloc back to the system, where the C library can."""
    function = _malloc_trim()
    if function is not None:
        function(0)


def collect() -> None:
    """Free reference cycles, as capture leaves them, and give the memory back to the system."""
    gc.collect()
    trim()


@contextmanager
def no_more_than_live() -> Iterator[None]:
    """Every large block that is freed goes back to the system at once, so that the process holds what is alive and no
    more. A third slower; for steps that run beside what they usually do not, not for every step.

    Where the user has told glibc a limit of his own, that stays.
    """
    set_option = None if any(name in os.environ for name in _OPTIONS_OF_GLIBC) else function_of_c("mallopt")
    trim()
    if set_option is None:
        yield
        return
    set_option(_M_MMAP_THRESHOLD, _OWN_MAPPING_BYTES)
    try:
        yield
    finally:
        set_option(_M_MMAP_THRESHOLD, _MOST_IN_HEAP_BYTES)
        set_option(_M_TRIM_THRESHOLD, 2 * _MOST_IN_HEAP_BYTES)
        trim()


_OPTIONS_OF_GLIBC = ("MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_OWN_MAPPING_BYTES = 2**16
_MOST_IN_HEAP_BYTES = 4 * 2**20
"""From then on: glibc's own limit follows what the process frees, up to 32 MiB, and cannot be given back to it. Blocks
of this size cost a few per cent of a step to map, and leave no gaps; twice as much stays free on top, as is glibc's
rule."""


@cache
def function_of_c(name: str) -> Callable[..., int] | None:
    """A function of the C library; None where there is none of this name."""
    try:
        function: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError, TypeError):  # not on this system
        return None
    return function


def _malloc_trim() -> Callable[..., int] | None:
    return function_of_c("malloc_trim")


_opened: dict[int, int | None] = {}
"""Process id -> its /proc/self/statm: a fork must not read its parent's."""


def _statm() -> int | None:
    process = os.getpid()
    if process not in _opened:
        try:
            _opened[process] = os.open("/proc/self/statm", os.O_RDONLY)
        except OSError:  # not Linux
            _opened[process] = None
    return _opened[process]
