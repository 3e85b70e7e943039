"""Cells of a notebook take turns with the panel's jobs: jobs trace, measure or change the objects that a cell uses."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import Any

from roam_lab.turns import cancel_present, turn


class CellTurns:
    """A turn for each cell of a shell that is not silent. A cell that has to wait says what for; interrupting it
    cancels the job, and then the cell runs."""

    def __init__(self, shell: Any) -> None:
        self._events = shell.events
        self._own = threading.local()
        """For each thread that runs cells: those that have begun, and their turns."""
        self._closed = False
        self._events.register("pre_run_cell", self._begin)
        self._events.register("post_run_cell", self._end)

    def close(self) -> None:
        """Cells take no more turns. The running cell, which may be the one that unloads the extension, keeps its turn
        until it ends."""
        self._closed = True
        self._events.unregister("pre_run_cell", self._begin)
        if not self._begun():
            self._events.unregister("post_run_cell", self._end)

    def _begin(self, info: Any) -> None:
        begun = self._begun()
        begun.append((info, ExitStack()))
        notify = _Notify()
        while True:
            try:
                begun[-1][1].enter_context(turn("the running cell", notify))
                return
            except KeyboardInterrupt:
                cancel_present()
                print("roam: cancelled what this cell waited for; it ends after its present step, then the cell runs")

    def _end(self, result: Any) -> None:
        """End the turn of this cell, and those of cells inside it that IPython has not reported as ended."""
        begun = self._begun()
        if result is not None and not any(info is result.info for info, _ in begun):
            return  # began before there were turns
        while begun:
            info, taken = begun.pop()
            taken.close()
            if result is not None and info is result.info:
                break
        if self._closed and not begun:
            self._events.unregister("post_run_cell", self._end)

    def _begun(self) -> list[tuple[Any, ExitStack]]:
        if not hasattr(self._own, "begun"):
            self._own.begun = []
        begun: list[tuple[Any, ExitStack]] = self._own.begun
        return begun


class _Notify:
    """Prints, once, what a cell waits for."""

    def __init__(self) -> None:
        self._said = False

    def __call__(self, what: str) -> None:
        if not self._said:
            self._said = True
            print(f"roam: this cell waits for the panel: {what}; interrupt the kernel to cancel that", flush=True)
