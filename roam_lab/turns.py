"""Turns: one thread at a time captures or runs a model.

torch traces with patches and modes that belong to the whole process, and a measured step counts all that the process
allocates. Two threads that do so at once, a job of the panel and a cell, say, break each other. So whoever captures or
runs a model takes a turn and waits for the one before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOK_SECONDS = 0.1
"""How often a thread that waits tells so, and can be stopped."""


def _unheard(what: str) -> None:
    """Nobody hears what is waited for."""


_lock = threading.RLock()
_turns: list[tuple[str, Callable[[], None] | None]] = []
"""What the thread that holds the lock is doing, outermost first, and what cancels it."""


@contextmanager
def turn(
    what: str, waiting: Callable[[str], None] = _unheard, cancel: Callable[[], None] | None = None
) -> Iterator[None]:
    """No other thread is inside such a block at the same time; a thread that is may enter another.

    `what` names what is done, for those who wait. `waiting` hears again and again what is waited for; what it raises
    ends the waiting. `cancel` asks the work in the block to end, see `cancel_present`.
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
    """What the thread whose turn it is does: "verifying 'base'"."""
    return next((what for what, _ in _turns), "what another thread does")


def cancel_present() -> bool:
    """Ask the work whose turn it is to end, soon; whether it can be asked."""
    cancel = next((cancel for _, cancel in _turns), None)
    if cancel is not None:
        cancel()
    return cancel is not None
