"""Step times of eager and planned, run by turns, each in a process of its own.

The load on a machine changes over seconds, so two steps right after each other meet the same load. In one process they
would share malloc's free memory, which does not happen in real use.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

TimedStep = Callable[[], float]
"""Runs one step; returns its seconds."""


def paired_times(eager: TimedStep, planned: TimedStep, pairs: int) -> list[tuple[float, float]]:
    """`pairs` pairs of seconds (eager, planned), run by turns; which of a pair runs first alternates. Two further pairs
    warm up."""
    times = []
    for index in range(pairs + 2):
        if index % 2:
            second = planned()
            first = eager()
        else:
            first = eager()
            second = planned()
        times.append((first, second))
    return times[2:]


@contextmanager
def in_own_process(make: Callable[[Any], TimedStep], request: Any) -> Iterator[TimedStep]:
    """The step that `make(request)` returns, made and run in a fresh process. An exception there is raised here."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, make, request), daemon=True)
    process.start()
    there.close()

    def ask() -> Any:
        try:
            answer = here.recv()
        except EOFError:
            raise RuntimeError("the process of the timed steps died") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def step() -> float:
        here.send(True)
        return float(ask())

    try:
        ask()  # ready
        yield step
    finally:
        here.close()
        process.join(10)
        process.kill()


def _serve(connection: Connection, make: Callable[[Any], TimedStep], request: Any) -> None:
    try:
        step = make(request)
        connection.send("ready")
        while connection.recv():
            connection.send(step())
    except EOFError:
        return
    except Exception as error:
        connection.send(error)
