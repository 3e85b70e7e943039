"""Turns: one thread at a time, those that wait hear what for, and can ask it to end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import torch

from roam_lab import hook, profile
from roam_lab.lab.cell_turns import CellTurns
from roam_lab.lab.thread_task import ThreadTask
from roam_lab.turns import cancel_present, turn
from tests.notebook_shell import cell, open_shell


@contextmanager
def taken(what: str, cancel: Callable[[], None] | None = None) -> Iterator[threading.Event]:
    """Another thread's turn, until the event is set."""
    begun, over = threading.Event(), threading.Event()

    def work() -> None:
        with turn(what, cancel=cancel or over.set):
            begun.set()
            over.wait(30)

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait(30)
    try:
        yield over
    finally:
        over.set()
        thread.join()


def test_who_waits_hears_what_for() -> None:
    heard: list[str] = []
    with taken("verifying 'x'") as over:

        def waiting(what: str) -> None:
            heard.append(what)
            over.set()

        with turn("mine", waiting), turn("mine again", waiting):
            heard.append("inside")
    assert heard == ["verifying 'x'", "inside"]


def test_what_is_raised_while_waiting_ends_it() -> None:
    def waiting(what: str) -> None:
        raise TimeoutError(what)

    with taken("verifying 'x'"), pytest.raises(TimeoutError, match="verifying 'x'"), turn("mine", waiting):
        raise AssertionError
    with turn("mine", waiting):
        pass


def test_the_present_work_can_be_asked_to_end() -> None:
    assert not cancel_present()
    with taken("verifying 'x'"):
        assert cancel_present()
        with turn("mine"):
            assert not cancel_present()


def test_a_capture_waits_for_its_turn() -> None:
    model = torch.nn.Linear(4, 2)
    heard: list[str] = []
    with taken("running 'x'") as over:

        def progress(what: str, part: float = 0.0) -> None:
            heard.append(what)
            over.set()

        batch = (torch.randn(2, 4), torch.randn(2, 2))
        profile(model, batch, loss=torch.nn.MSELoss(), fake=True, progress=progress)
    assert heard == ["waiting for running 'x'", "capturing the training step"]


def test_a_job_waits_for_the_cell_and_can_be_cancelled_meanwhile() -> None:
    heard: list[str] = []
    done: list[str] = []
    with turn("the running cell"):
        late = ThreadTask("a job", lambda _: "ran", done.append, heard.append, lambda what, part: heard.append(what))
        lost = ThreadTask("a job", lambda _: "ran, too", done.append, heard.append, lambda what, part: None)
        end = time.monotonic() + 30
        while "waiting for the running cell" not in heard:
            assert time.monotonic() < end
            time.sleep(0.01)
        lost.cancel()
        lost.thread.join(30)
        assert done == []
    late.thread.join(30)
    assert done == ["ran"]


@pytest.fixture(scope="module")
def shell() -> Iterator[Any]:
    with open_shell() as opened:
        yield opened


def test_a_cell_waits_says_so_and_runs(shell: Any) -> None:
    with taken("verifying 'x'") as over:
        threading.Timer(0.5, over.set).start()
        caught = cell(shell, "done = time_of_day = 1\nprint('ran')")
    assert caught.stdout.splitlines() == [
        "roam: this cell waits for the panel: verifying 'x'; interrupt the kernel to cancel that",
        "ran",
    ]
    assert cell(shell, "print('again')").stdout == "again\n"


def test_an_interrupt_while_a_cell_waits_cancels_the_job(shell: Any) -> None:
    import signal

    with taken("verifying 'x'"):
        threading.Timer(0.4, signal.raise_signal, (signal.SIGINT,)).start()
        said = cell(shell, "print('ran')").stdout.splitlines()
    assert said[1:] == [
        "roam: cancelled what this cell waited for; it ends after its present step, then the cell runs",
        "ran",
    ]


@pytest.mark.parametrize(
    "code",
    [
        "get_ipython().run_cell('1 / 0')\nget_ipython().run_cell('def')\nraise ValueError",
        "%unload_ext roam_lab",
        "%load_ext roam_lab",
        "%reload_ext roam_lab",
    ],
)
def test_whatever_a_cell_does_leaves_no_turn(shell: Any, code: str) -> None:
    shell.run_cell(code)
    free: list[bool] = []

    def waiting(what: str) -> None:
        raise TimeoutError(what)

    def other() -> None:
        with suppress(TimeoutError), turn("free", waiting):
            free.append(True)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join(30)
    assert free == [True]


def test_without_the_extension_cells_take_no_turns() -> None:
    class Events:
        def __init__(self) -> None:
            self.known: list[tuple[str, Any]] = []

        def register(self, event: str, function: Any) -> None:
            self.known.append((event, function))

        def unregister(self, event: str, function: Any) -> None:
            self.known.remove((event, function))

    shell = type("Shell", (), {"events": Events()})
    turns = CellTurns(shell)
    assert [event for event, _ in shell.events.known] == ["pre_run_cell", "post_run_cell"]
    turns.close()
    assert shell.events.known == []


def small(seed: int) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.GELU(), torch.nn.Linear(8, 2))
    return model, torch.optim.AdamW(model.parameters(), lr=0.1)


def train(step: Callable[[Any], Any], failed: list[BaseException], steps: int) -> None:
    inputs = torch.linspace(-1, 1, 24).view(6, 4)
    try:
        for _ in range(steps):
            step((inputs, inputs[:, :2]))
    except BaseException as error:
        failed.append(error)


def eager(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Callable[[Any], Any]:
    def step(batch: Any) -> torch.Tensor:
        loss = torch.nn.functional.mse_loss(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return step


def test_threads_that_train_at_once_leave_what_they_leave_alone() -> None:
    """Two of them hooked, the third eager, while the others capture."""
    alone, at_once = [small(seed) for seed in range(3)], [small(seed) for seed in range(3)]
    failed: list[BaseException] = []
    for pair in alone:
        train(eager(*pair), failed, 3)
    steps: list[Callable[[Any], Any]] = [
        hook(*pair, loss=torch.nn.MSELoss(), cache=False) for pair in at_once[:2]
    ]  # fmt: skip
    threads = [
        threading.Thread(target=train, args=(step, failed, 3)) for step in (*steps, eager(*at_once[2]))
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert [step.planned_steps for step in steps] == [3, 3]  # type: ignore[attr-defined]
    for (one, _), (other, _) in zip(alone, at_once, strict=True):
        assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))
