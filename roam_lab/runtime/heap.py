"""Keeps malloc's free memory small on the CPU, so that the process stays within what was planned.

External storages come from malloc, which keeps freed memory resident. Before an op that allocates, the program says how
much; if the process would then take more than planned, malloc's free memory is returned to the system. Otherwise malloc
may keep it, as faulting pages in again costs time.
"""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

SLACK, SLACK_BYTES = 0.01, 4 * 2**20
"""How far the process may exceed the plan before memory is returned: this fraction of the plan, plus so many bytes."""
SLACK_WITHOUT_BUDGET = 0.08
"""The fraction for a plan that buys no memory with time: a step that returns memory and takes it again, op by op, would
be slower than eager's (a ResNet-50 by a quarter)."""
REUSED = 0.5
"""The fraction of malloc's free memory that is assumed to be usable for a request that may hold blocks of
MAPPED_BYTES, or while other external storages live, between which the rest is in pieces too small. Else all of it
is."""
MAPPED_BYTES = 32 * 2**20
"""Larger blocks come from the system each time, whatever is free (glibc's DEFAULT_MMAP_THRESHOLD_MAX)."""


_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Heap:
    """Watches the resident set of this process. `arena`: its bytes; `planned`: bytes that arena and ops may hold
    together.

    `base`: the process's resident set just before the arena was made (None: the present one). `slack`: the fraction of
    the plan by which the process may exceed it.
    """

    def __init__(self, arena: int, planned: int, base: int | None = None, slack: float = SLACK) -> None:
        self._arena = arena
        self._limit = planned + int(planned * slack) + SLACK_BYTES
        self._base = self._resident() if base is None else base
        self._kept = 0

    @property
    def works(self) -> bool:
        """Whether the C library and the system support this (glibc on Linux)."""
        return _malloc_trim() is not None and _statm() is not None

    def _resident(self) -> int:
        return resident_bytes()

    def _trim(self) -> None:
        trim()

    def start(self) -> None:
        """Called at the start of a step: memory above the plan by now is the user's, and counts as base."""
        if self._resident() - self._base > self._limit:
            self._trim()
            self._base = max(self._base, self._resident() - self._arena)

    def before(self, need: int, live: int, absent: int = 0) -> None:
        """Called before an op that allocates `need` bytes, while external storages of `live` bytes are alive and
        `absent` bytes of the arena are given up."""
        held = self._arena - absent + live
        used = self._resident() - self._base
        free = max(0, used - held)
        usable = free * REUSED if live or need > MAPPED_BYTES else free
        if used + need - min(need, usable) > self._limit and free >= self._kept:
            self._trim()
            # what is left is no free memory of malloc's; to trim before every op would take longer than the ops
            self._kept = max(0, self._resident() - self._base - held) + SLACK_BYTES


def resident_bytes() -> int:
    """The resident set of this process in bytes; 0 where the system does not report it."""
    statm = _statm()
    return 0 if statm is None else int(os.pread(statm, 128, 0).split()[1]) * _PAGE


def trim() -> None:
    """Return malloc's free memory to the system, where the C library can."""
    function = _malloc_trim()
    if function is not None:
        function(0)


def collect() -> None:
    """Free reference cycles (a capture leaves some), and return the memory to the system."""
    gc.collect()
    trim()


@contextmanager
def uncollected() -> Iterator[None]:
    """A context in which Python's collector of cycles does not begin by itself: with torch and transformers imported,
    each time takes a tenth of a second."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@contextmanager
def no_more_than_live() -> Iterator[None]:
    """A context in which every large block that is freed is returned to the system at once, so that the process holds
    live memory only. It makes steps a third slower, and is used for the few steps that run beside a second copy of
    state.

    Afterwards the limit is where glibc's automatic one ends, which cannot be switched on again. A limit that the user
    has set by glibc's environment variables stays.
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
        set_option(_M_MMAP_THRESHOLD, MAPPED_BYTES)
        set_option(_M_TRIM_THRESHOLD, 2 * MAPPED_BYTES)
        trim()


_OPTIONS_OF_GLIBC = ("MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_OWN_MAPPING_BYTES = 2**16


@cache
def function_of_c(name: str) -> Callable[..., int] | None:
    """The function of the C library with this name; None where there is none."""
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
