"""Work on the kernel's own objects, in a thread: the event loop stays free, and Cancel ends it between steps.

It takes turns with cells, see `roam_lab.turns`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from roam_lab.errors import RoamError
from roam_lab.progress import Progress
from roam_lab.turns import turn


class _CancelledError(Exception):
    """Raised inside the work when it reports its progress."""


class ThreadTask:
    """Runs `work(progress)` in a thread when it is its turn; `what` names it for cells that wait for it (None: the work
    takes turns by itself). `done(result)`, `failed(sentence)` and `notify(what, part)` are called in the event loop.
    `stop`: what a cell that waits calls when it is interrupted (default: `cancel`)."""

    def __init__(
        self,
        what: str | None,
        work: Callable[[Progress], Any],
        done: Callable[[Any], None],
        failed: Callable[[str], None],
        notify: Callable[[str, float], None],
        stop: Callable[[], None] | None = None,
    ) -> None:
        self._what, self._work, self._done, self._failed, self._notify = what, work, done, failed, notify
        self._stop = stop or self.cancel
        self._cancelled = threading.Event()
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None
        self.thread = threading.Thread(target=self._run, name="roam-lab task", daemon=True)
        self.thread.start()

    def cancel(self) -> None:
        """End the work when it next reports its progress; no callback is called."""
        self._cancelled.set()

    def _run(self) -> None:
        try:
            if self._what is None:
                result = self._work(self._progress)
            else:
                with turn(self._what, lambda what: self._progress(f"waiting for {what}"), self._stop):
                    result = self._work(self._progress)
        except _CancelledError:
            return
        except RoamError as error:
            self._call(self._failed, str(error))
        except Exception as error:
            self._call(self._failed, f"{type(error).__name__}: {error}")
        else:
            self._call(self._done, result)

    def _progress(self, what: str, part: float = 0.0) -> None:
        if self._cancelled.is_set():
            raise _CancelledError
        self._call(self._notify, what, part)

    def _call(self, function: Callable[..., None], *values: Any) -> None:
        def still_wanted() -> None:
            if not self._cancelled.is_set():
                function(*values)

        if self._loop is None:
            still_wanted()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(still_wanted)
