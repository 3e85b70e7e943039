"""Progress on the terminal: a bar on standard error once something takes longer than two seconds."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

Progress = Callable[[str, float], None]
"""(what is being done now, the finished part of it from 0 to 1)"""

DELAY_SECONDS = 2.0


def silent(what: str, part: float = 0.0) -> None:
    """The progress of a library call: nothing is shown."""


class TerminalProgress:
    """A context manager and a `Progress`: shows a bar on standard error, if that is a terminal, after two seconds.

    What is quick, and what is piped or logged, shows nothing; the bar is gone when the block ends.
    """

    def __init__(self, delay_seconds: float = DELAY_SECONDS) -> None:
        self._lock = threading.Lock()
        self._state: tuple[str, float] = ("working", 0.0)
        self._over = False
        self._bar: Any = None
        self._task: Any = None
        self._timer = threading.Timer(delay_seconds, self._appear)
        self._timer.daemon = True

    def __call__(self, what: str, part: float = 0.0) -> None:
        with self._lock:
            self._state = (what, part)
            self._update()

    def __enter__(self) -> TerminalProgress:
        if sys.stderr.isatty():
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            bar, self._bar = self._bar, None
            self._over = True
        if bar is not None:
            bar.stop()

    def _appear(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        with self._lock:
            if self._over:  # the timer fired just as the block ended
                return
            console = Console(stderr=True)
            what = TextColumn("{task.description}", markup=False)
            columns = (SpinnerColumn(), what, BarColumn(), TimeElapsedColumn())
            # results that go to a file or a pipe must go there, not above the bar
            together = sys.stdout.isatty()
            self._bar = Progress(*columns, console=console, transient=True, redirect_stdout=together)
            self._task = self._bar.add_task(self._state[0], total=None)
            self._bar.start()
            self._update()

    def _update(self) -> None:
        if self._bar is not None:
            what, part = self._state
            self._bar.update(self._task, description=what, total=1.0 if part else None, completed=part)
