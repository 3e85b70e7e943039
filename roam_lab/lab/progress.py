"""Progress in a notebook: a bar below the cell if something takes longer than a second; it is removed at the end."""

from __future__ import annotations

import contextvars
import threading
import time
from html import escape
from types import TracebackType
from typing import Any

from IPython.display import display

from roam_lab.app.host import host
from roam_lab.progress import TerminalProgress

DELAY_SECONDS = 1.0
REDRAW_SECONDS = 0.3
TICK_SECONDS = 1.0


class NotebookProgress:
    """A context manager and a `Progress`. Interrupting the kernel cancels what runs."""

    def __init__(self, delay_seconds: float = DELAY_SECONDS) -> None:
        self._delay = delay_seconds
        self._began = time.monotonic()
        self._drawn = 0.0
        self._handle: Any = None
        self._lock = threading.RLock()
        self._state: tuple[str, float] | None = None
        self._over = threading.Event()
        self._clock: threading.Thread | None = None

    def __enter__(self) -> NotebookProgress:
        self._began = time.monotonic()
        # output from a thread goes below the cell whose context the thread has
        run = contextvars.copy_context().run
        self._clock = threading.Thread(target=run, args=(self._tick,), name="roam progress", daemon=True)
        self._clock.start()
        return self

    def _tick(self) -> None:
        """Keep the seconds counting: long stages report nothing while they run."""
        while not self._over.wait(TICK_SECONDS):
            with self._lock:
                if self._state is not None and not self._over.is_set():
                    self(*self._state)

    def __call__(self, what: str, part: float = 0.0) -> None:
        now = time.monotonic()
        with self._lock:
            self._state = (what, part)
            if now - self._began < self._delay or now - self._drawn < REDRAW_SECONDS:
                return
            self._drawn = now
            bar = _Bar(what, part, now - self._began)
            if self._handle is None:
                self._handle = display(bar, display_id=True)  # type: ignore[no-untyped-call]
            else:
                self._handle.update(bar)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        with self._lock:
            if self._handle is not None:
                self._handle.update(_Gone())


class _Bar:
    def __init__(self, what: str, part: float, seconds: float) -> None:
        self.what, self.part, self.seconds = what, part, seconds

    def __repr__(self) -> str:
        return f"{self.what} ({self.seconds:.0f} s)"

    def _repr_html_(self) -> str:
        value = f' value="{self.part:.3f}"' if self.part else ""
        return (
            f'<div role="status"><progress max="1"{value}></progress> {escape(self.what)} ({self.seconds:.0f} s); '
            "interrupt the kernel (&#9632;) to cancel</div>"
        )


class _Gone:
    def __repr__(self) -> str:
        return ""

    def _repr_html_(self) -> str:
        return ""


def notebook_progress() -> NotebookProgress | TerminalProgress:
    """The kind of progress that suits the front end of this kernel."""
    return TerminalProgress() if host().name in ("terminal", "none") else NotebookProgress()
