"""Planning beside the kernel: done, failed, replaced, cancelled."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import psutil
import pytest

from roam_lab.lab.background import Background
from roam_lab.plan import Plan, make_plan
from tests.plan.graphs import pumpkin
from tests.plan.training_step import training_step

PATIENCE = 60.0


@pytest.fixture
def told() -> Queue[Any]:
    return Queue()


@pytest.fixture
def background(told: Queue[Any]) -> Iterator[Background]:
    made = Background(told.put, told.put, debounce_seconds=0.05)
    yield made
    made.close()


def test_a_plan_comes_back_as_planned_here(background: Background, told: Queue[Any]) -> None:
    background.ask(pumpkin(), {"order": "list", "seed": 3})
    assert background.busy
    assert told.get(timeout=PATIENCE) == make_plan(pumpkin(), order="list", seed=3)
    assert not background.busy


def test_an_error_comes_back_as_a_sentence(background: Background, told: Queue[Any]) -> None:
    background.ask(pumpkin(), {"order": "lits"})
    assert told.get(timeout=PATIENCE) == "there is no order strategy 'lits'; did you mean 'list'?"
    background.ask(pumpkin(), {"order": "list"})
    assert isinstance(told.get(timeout=PATIENCE), Plan)


def test_only_the_last_request_is_answered(background: Background, told: Queue[Any]) -> None:
    for seed in range(5):
        background.ask(pumpkin(), {"order": "list", "seed": seed})
    assert told.get(timeout=PATIENCE).seed == 4
    with pytest.raises(Empty):
        told.get(timeout=0.3)


def workers() -> set[int]:
    """Processes of executors; the one that tracks their resources stays."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it ended just now
            line = " ".join(child.cmdline())
            if "loky" in line and "tracker" not in line:
                found.add(child.pid)
    return found


def test_cancel_kills_what_runs_and_the_next_request_works(background: Background, told: Queue[Any]) -> None:
    background.ask(pumpkin(), {"order": "list"})
    told.get(timeout=PATIENCE)  # the process is up
    background.ask(training_step(1500), {"order": "auto"})  # takes seconds
    began = time.monotonic()
    while background._running is None:
        assert time.monotonic() < began + PATIENCE
        time.sleep(0.01)
    assert background.cancel()
    assert not background.busy
    assert not background.cancel()
    with pytest.raises(Empty):
        told.get(timeout=1.0)
    background.ask(pumpkin(), {"order": "captured"})
    assert told.get(timeout=PATIENCE).order_strategy == "captured"


def test_a_process_that_dies_is_told_and_replaced(background: Background, told: Queue[Any]) -> None:
    background.ask(pumpkin(), {"order": "list"})
    told.get(timeout=PATIENCE)
    before = workers()
    background.ask(training_step(1500), {"order": "auto"})
    while background._running is None:
        time.sleep(0.01)
    for pid in before:
        if psutil.pid_exists(pid):
            psutil.Process(pid).kill()
    assert "try again" in told.get(timeout=PATIENCE)
    background.ask(pumpkin(), {"order": "list"})
    assert isinstance(told.get(timeout=PATIENCE), Plan)


def test_the_stop_button_of_the_kernel_is_for_its_cells(background: Background, told: Queue[Any]) -> None:
    """It interrupts every process of the kernel."""
    before = workers()
    background.ask(training_step(200), {"order": "list", "layout": "best_fit"})
    end = time.monotonic() + PATIENCE
    while not (begun := workers() - before):
        assert time.monotonic() < end
    while told.empty():
        assert time.monotonic() < end
        for pid in begun & workers():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
        time.sleep(0.02)
    assert isinstance(told.get(), Plan)


def test_callbacks_run_in_the_event_loop() -> None:
    async def ask() -> tuple[Plan, int]:
        heard: asyncio.Future[tuple[Plan, int]] = asyncio.get_running_loop().create_future()
        background = Background(lambda plan: heard.set_result((plan, threading.get_ident())), heard.set_exception)
        background.ask(pumpkin(), {"order": "list"})
        try:
            return await asyncio.wait_for(heard, PATIENCE)
        finally:
            background.close()

    plan, thread = asyncio.run(ask())
    assert plan.order_strategy == "list"
    assert thread == threading.get_ident()


def test_closing_leaves_no_process() -> None:
    told: Queue[Any] = Queue()
    before = workers()
    background = Background(told.put, told.put)
    background.ask(pumpkin(), {"order": "list"})
    told.get(timeout=PATIENCE)
    mine = workers() - before
    assert mine
    background.close()
    began = time.monotonic()
    while mine & workers():
        assert time.monotonic() < began + PATIENCE
        time.sleep(0.05)


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, background: Background) -> None:
    monkeypatch.chdir(tmp_path)
    background.ask(pumpkin(), {"order": "list"})
    background.cancel()
    assert list(tmp_path.iterdir()) == []
