"""One cell in processes of its own, with a time limit; what goes wrong is a line."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from benchmarks.cuda import child, results
from benchmarks.cuda.jobs import Job

PRELOADED = ("benchmarks.cuda.preloaded",)
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONWARNINGS": "ignore:resource_tracker:UserWarning",  # of locks in the process that is forked, and ended
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",  # so that whoever asks for a device at import does not begin to use it
}
MOST_PROCESSES = 8
"""Of one cell, each going on after the part that the one before died in."""


@dataclass(frozen=True)
class Place:
    """Where results, plans and what is kept between cells lie, what lines call the device and the commit, how processes
    begin (a context of multiprocessing) and what they run."""

    results: Path
    work: Path
    plans: Path
    device: str
    processes: Any
    commit: str | None = None
    main: Callable[[str], int] = child.main


def run_job(job: Job, place: Place, most_seconds: float) -> results.Line:
    """Run a cell to its end and write its last line, which is returned; it may take its limit or `most_seconds`."""
    before = len(results.read(place.results))
    limit = min(job.limit_seconds, most_seconds)
    began, skip = time.monotonic(), set[str]()
    status, reason = "crashed", ""
    for _ in range(MOST_PROCESSES):
        code = _process(job, place, sorted(skip), limit - (time.monotonic() - began))
        parts = results.parts_of(results.read(place.results)[before:], job.stage, job.cell)
        for line in parts.values():
            if line["status"] == "running":
                ended = "timeout" if code is None else "crashed"
                results.append(place.results, {**line, "status": ended, "reason": _why(code, limit, place.work)})
        if code == 0:
            status, reason = _worst(parts)
            break
        status, reason = "timeout" if code is None else "crashed", _why(code, limit, place.work)
        if code is None or not set(parts) - skip:
            break
        skip |= set(parts)
    line = {
        "stage": job.stage,
        "cell": job.cell,
        "device": place.device,
        "status": status,
        **({"reason": reason} if reason else {}),
        "seconds": round(time.monotonic() - began, 1),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": place.commit,
    }
    results.append(place.results, line)
    return line


def _worst(parts: dict[str, results.Line]) -> tuple[str, str]:
    """Status and reason of a cell whose process ended well: the worst of its parts'."""
    order = ("failed", "crashed", "differs", "not possible", "done")
    found = min(parts.values(), key=lambda line: order.index(line["status"]), default={"status": "done"})
    if found["status"] == "not possible" and any(line["status"] == "done" for line in parts.values()):
        return "done", ""
    return found["status"], found.get("reason", "") if found["status"] != "done" else ""


def _process(job: Job, place: Place, skip: list[str], seconds: float) -> int | None:
    """Exit status of one process (negative: a signal); None where it took too long and was ended with its children."""
    asked = place.work / "job.json"
    data = {"stage": job.stage, "cell": job.cell, "settings": job.settings, "skip": skip, "device": place.device,
            "work": str(place.work), "plans": str(place.plans), "results": str(place.results)}  # fmt: skip
    asked.write_text(json.dumps(data), encoding="utf-8")
    started = place.processes.Process(target=_begin, args=(place.main, str(asked), str(place.work / "log.txt")))
    started.start()
    late = True
    try:
        started.join(max(0.1, seconds))
        late = started.is_alive()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)  # with what it has started
        started.join()
    return None if late else started.exitcode


def _begin(main: Callable[[str], int], asked: str, log: str) -> None:
    """In the new process: a group of its own, all output to the log, and an end without tearing down the device."""
    os.setsid()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    status = main(asked)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def prepared() -> BaseContext:
    """Processes that are forked from one which has imported everything, and has not looked at the device."""
    os.environ |= ENVIRONMENT
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context


def device_here(processes: BaseContext) -> str | None:
    """What the device is called, asked of another process: this one takes none of its memory. None: there is none."""
    mine, theirs = processes.Pipe(duplex=False)
    asked = processes.Process(target=_answer, args=(theirs,))
    asked.start()
    theirs.close()
    try:
        found: str | None = mine.recv()
    except EOFError:
        found = None
    asked.join()
    return found


def _answer(pipe: Any) -> None:
    from benchmarks.cuda import device

    try:
        pipe.send(device.label())
    except Exception:
        pipe.send(None)
    os._exit(0)


def _why(code: int | None, limit: float, work: Path) -> str:
    if code is None:
        return f"ended after {limit:.0f} s"
    said = (work / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    how = f"signal {-code}" if code < 0 else f"exit status {code}"
    return f"{how}{f': {said[-1][:300]}' if said else ''}"
