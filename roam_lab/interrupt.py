"""Delaying interrupts (the stop button of a notebook, Ctrl-C) until they do no harm.

Python raises KeyboardInterrupt between any two instructions. In a weakref callback it is lost; in Python code that
torch's C++ has called it may end the process; while something is being put back it leaves half of that undone.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE_SECONDS = 3.0
"""How long an interrupt of the user's own code waits for the next op; one that comes later is raised at once."""


class _Hold:
    """The interrupts that came while the outermost `held` was active."""

    def __init__(self, patience_seconds: float | None) -> None:
        self.patience_seconds = patience_seconds
        self.heard: list[float] = []
        self._raised = False

    def hear(self, *_: Any) -> None:
        """The handler of the signal."""
        self.heard.append(time.monotonic())
        if self.patience_seconds is not None and self.heard[-1] - self.heard[0] > self.patience_seconds:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise KeyboardInterrupt if one was heard; only once, as the user's code may still tidy up."""
        if self.heard and not self._raised:
            self._raised = True
            raise KeyboardInterrupt


_hold: _Hold | None = None


@contextmanager
def held(patience_seconds: float | None = None) -> Iterator[Callable[[], None]]:
    """A context that yields a function: an interrupt inside the block is raised when that function is called, at the
    latest when the block ends.

    `patience_seconds`: an interrupt that follows another after longer than that is raised at once, wherever it comes
    (None: never). A block inside another ends with it. Outside the main thread, where Python raises no interrupts,
    this does nothing.
    """
    global _hold
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield lambda: None
        return
    if _hold is not None:
        hold, outer_patience = _hold, _hold.patience_seconds
        hold.patience_seconds = patience_seconds
        try:
            yield hold.check
        finally:
            hold.patience_seconds = outer_patience
        return
    _hold = hold = _Hold(patience_seconds)
    signal.signal(signal.SIGINT, hold.hear)
    try:
        yield hold.check
    finally:
        _hold = None
        signal.signal(signal.SIGINT, before)
        if hold.heard:  # also where some code has caught it
            signal.raise_signal(signal.SIGINT)


@contextmanager
def deaf_children(tracked: bool = False) -> Iterator[None]:
    """A context in which started processes ignore interrupts: their parent is interrupted, too, and ends them.

    A notebook interrupts all processes of the kernel, and each would print its traceback into the cell. `tracked`:
    processes of multiprocessing's kind, whose tracker would make them hear again if it were started with them.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    if tracked:
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
