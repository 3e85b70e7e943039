"""A real kernel in a process of its own, as JupyterLab has one: cells, what they show, and the stop button."""

from __future__ import annotations

import ast
import os
import queue
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.manager import KernelManager

PATIENCE = 120.0
"""Seconds; as long as a busy machine may take for any one answer."""
ROOT = Path(__file__).parents[1]


@dataclass
class Cell:
    """What a cell has shown so far."""

    identity: str
    stdout: str = ""
    stderr: str = ""
    shown: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    over: bool = False

    def everything(self) -> str:
        """All that can be read below the cell."""
        return "\n".join([self.stdout, self.stderr, *self.shown, *self.errors])


class Kernel:
    """Runs cells one at a time."""

    def __init__(self, manager: Any, client: Any) -> None:
        self._manager, self._client = manager, client

    def run(self, code: str) -> Cell:
        """Run a cell to its end."""
        return self.finish(self.start(code))

    def start(self, code: str) -> Cell:
        """Begin to run a cell."""
        return Cell(self._client.execute(code))

    def wait_for(self, cell: Cell, words: str) -> None:
        """Until the running cell shows `words`."""
        while words not in cell.everything():
            self._hear(cell)
            assert not cell.over, f"the cell ended without {words!r}: {cell.everything()}"

    def interrupt(self) -> None:
        """Press the stop button: SIGINT for all processes of the kernel."""
        self._manager.interrupt_kernel()

    def finish(self, cell: Cell) -> Cell:
        """Until the kernel is idle again."""
        while not cell.over:
            self._hear(cell)
        return cell

    def hear_late(self, cell: Cell) -> None:
        """What a busy kernel sends after it has said that it is idle: until a second of silence."""
        with suppress(queue.Empty):
            while True:
                self._hear(cell, 1.0)

    def value(self, expression: str) -> Any:
        """What `expression`, plain data, is in the kernel."""
        identity = self._client.execute("", user_expressions={"told": expression}, store_history=False)
        while (reply := self._client.get_shell_msg(timeout=PATIENCE))["parent_header"].get("msg_id") != identity:
            pass
        told = reply["content"]["user_expressions"]["told"]
        assert told["status"] == "ok", told
        return ast.literal_eval(told["data"]["text/plain"])

    def children(self) -> list[str]:
        """The command lines of all processes that the kernel has started."""
        started = psutil.Process(self._manager.provisioner.pid).children(recursive=True)
        return [" ".join(process.cmdline()) for process in started if process.status() != psutil.STATUS_ZOMBIE]

    def _hear(self, cell: Cell, patience: float = PATIENCE) -> None:
        message = self._client.get_iopub_msg(timeout=patience)
        if message["parent_header"].get("msg_id") != cell.identity:
            return
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            setattr(cell, content["name"], getattr(cell, content["name"]) + content["text"])
        elif kind in ("display_data", "update_display_data", "execute_result"):
            cell.shown.append(content["data"].get("text/plain", ""))
        elif kind == "error":
            cell.errors.append("\n".join(content["traceback"]))
        elif kind == "status":
            cell.over = content["execution_state"] == "idle"


@contextmanager
def open_kernel() -> Iterator[Kernel]:
    """A kernel of the running Python, until the block ends."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    manager = KernelManager()
    manager.start_kernel(env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"})
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=PATIENCE)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
