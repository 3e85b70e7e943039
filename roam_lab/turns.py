"""Turns: one thread at a time captures or runs a model.

Tracing uses patches and modes of the whole process, and measuring a step counts everything that the process allocates.
Two threads that do so at once (a job of the panel and a cell) would break each other. So whatever captures or runs a
model takes a turn, and waits until the turn before it is over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOK_SECONDS = 0.1
"""The seconds after which a waiting thread calls `waiting` again, which may stop it."""


def _unheard(what: str) -> None:
    """The default of `waiting`: does nothing."""


_lock = threading.RLock()
_turns: list[tuple[str, Callable[[], None] | None]] = []
"""What the thread that holds the lock is doing, outermost first, and what cancels it."""


@contextmanager
def turn(
    what: str, waiting: Callable[[str], None] = _unheard, cancel: Callable[[], None] | None = None
) -> Iterator[None]:
    """A context that only one thread can be in at a time; that thread may enter further ones.

    `what`: the work in the block, for threads that wait. `waiting`: called again and again with the work that is waited
    for; an exception that it raises ends the waiting. `cancel`: called by `cancel_present` to end the work in the
    block.
    """
    while not _lock.acquire(timeout=LOOK_SECONDS):
        waiting(present())
    try:
        _turns.append((what, cancel))
        try:
            yield
        finally:
            _turns.pop()
    finally:
        _lock.release()


def present() -> str:
    """The work of the thread whose turn it is: "verifying 'base'". Never empty."""
    return next((what for what, _ in _turns), "what another thread does")


def cancel_present() -> bool:
    """Ask the work whose turn it is to end soon. Returns whether it can be asked."""
    cancel = next((cancel for _, cancel in _turns), None)
    if cancel is not None:
        cancel()
    return cancel is not None
