"""Runs a task: in the worker's process or, if that runs other threads at the same time, in a process of its own."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from roam_lab.interrupt import deaf_children
from roam_lab.sweeps.rows import Task, failed_rows, rows_of


def work(task: Task) -> list[dict[str, Any]]:
    """The rows of the task.

    Capture observes its whole process: random numbers, files and garbage collections of other threads would be taken
    for the step's. So a worker that runs its tasks in threads, as Dask's do, starts a process for each.
    """
    if threading.current_thread() is threading.main_thread():
        return rows_of(task)
    return _by_child(task)


def _by_child(task: Task) -> list[dict[str, Any]]:
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, *sys.path]))}
    with tempfile.TemporaryDirectory(prefix="roam_sweep_") as folder:
        asked, answer = Path(folder, "task.pickle"), Path(folder, "rows.json")
        asked.write_bytes(pickle.dumps(task))
        command = [sys.executable, "-m", "roam_lab.sweeps.worker", str(asked), str(answer)]
        nowhere = subprocess.DEVNULL
        with deaf_children():
            child = subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=subprocess.PIPE, env=environment)
        try:
            _, errors = child.communicate()
        finally:
            child.kill()
        if child.returncode == 0:
            rows: list[dict[str, Any]] = json.loads(answer.read_bytes())
            return rows
        if len(task.points) > 1:  # one of them may have ended it
            return [row for single in task.single() for row in _by_child(single)]
        last = (errors.decode(errors="replace").split("\n")[-2:-1] or [""])[0].strip()
        if child.returncode < 0:
            last = f"signal {-child.returncode}, perhaps for want of memory; try it with fewer jobs"
        return failed_rows(task, f"its process ended: {last or f'exit status {child.returncode}'}")


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(rows_of(pickle.loads(Path(sys.argv[1]).read_bytes()))))
