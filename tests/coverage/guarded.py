"""Functions in processes of their own, a few at a time, each with a time limit; forked, so that imports cost once."""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

PATIENCE = 5


@dataclass
class _Child:
    name: str
    process: int
    pipe: int
    began: float
    said: bytearray = field(default_factory=bytearray)


def run_guarded(
    jobs: Iterable[tuple[str, Callable[[], Any]]], workers: int, limit_seconds: float
) -> Iterator[tuple[str, Any, float]]:
    """Yields (name, what the job returned by way of JSON, seconds of processor time) as jobs end.

    In place of a result: {"ended": why} for a process that died, that took `limit_seconds` of processor time, or
    `PATIENCE` times as long by the clock (other programs may run). A process leads a group of its own, and the whole
    group is killed with it. What jobs print to the standard output goes to the standard error.
    """
    waiting = iter(jobs)
    running: dict[int, _Child] = {}
    try:
        while True:
            while len(running) < workers and (job := next(waiting, None)) is not None:
                child = _start(*job, limit_seconds)
                running[child.pipe] = child
            if not running:
                return
            ready, _, _ = select.select(list(running), [], [], 0.5)
            for child in list(running.values()):
                late = time.monotonic() - child.began > PATIENCE * limit_seconds
                if late or (child.pipe in ready and _read(child)):
                    del running[child.pipe]
                    seconds = _finish(child)
                    yield child.name, _result(child, seconds), seconds
    finally:
        for child in running.values():
            _finish(child)


def _start(name: str, job: Callable[[], Any], limit_seconds: float) -> _Child:
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process:
        os.close(writing)
        return _Child(name, process, reading, time.monotonic())
    status = 1
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(limit_seconds),) * 2)
        os.close(reading)
        os.dup2(2, 1)
        answer = json.dumps(job()).encode() + b"\n"
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(answer)
        status = 0
    except BaseException as error:
        print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(status)
    raise AssertionError("unreachable")


def _read(child: _Child) -> bool:
    """Take what is there; whether the answer is whole, or the pipe has ended without one."""
    part = os.read(child.pipe, 1 << 16)
    child.said += part
    return not part or child.said.endswith(b"\n")


def _finish(child: _Child) -> float:
    """End the process and its group, and give the processor's seconds that it took."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.process, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.process, signal.SIGKILL)
    _, _, usage = os.wait4(child.process, 0)
    os.close(child.pipe)
    return usage.ru_utime + usage.ru_stime


def _result(child: _Child, seconds: float) -> Any:
    if child.said.endswith(b"\n"):
        return json.loads(child.said.decode())
    clock = time.monotonic() - child.began
    return {"ended": f"the process ended without an answer, after {clock:.0f} s, {seconds:.0f} s of them computing"}
