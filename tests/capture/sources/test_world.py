"""What a step does outside of Python's objects: done again by planned steps, guarded, or refused by name."""

import datetime
import logging
import os
import random
import sqlite3
import subprocess
import threading
import time
import uuid
from pathlib import Path
from time import perf_counter

import numpy
import pytest
import torch
from torch import nn

import roam_lab as roam
from roam_lab.errors import CaptureError
from tests.steps import weighted_step

LOG = logging.getLogger("a user's")


def trained(step, steps=4, *, between=lambda index: None, hooked=True, check="first", **options):
    """The losses of so many steps, and the hooked step."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    batch, run = torch.randn(4, 3), None
    if hooked:
        plan = roam.profile(model, batch, optimizer, step=step).plan()
        run = roam.hook(plan, model, optimizer, step=step, check=check, **options)
    losses = []
    for index in range(steps):
        losses.append(float(run(batch) if hooked else step(model, optimizer, batch)))
        between(index)
    return losses, run


def refused(step, message):
    with pytest.raises(CaptureError, match=message):
        trained(step)


def reads_a_file(folder):
    (folder / "rate").write_text("0.1")
    return lambda *given: weighted_step(*given, float((folder / "rate").read_text()))


def writes_a_file(folder):
    def step(*given):
        with open(folder / "log", "a") as file:
            file.write("a step\n")
        return weighted_step(*given)

    return step


def looks_for_a_file(folder):
    return lambda *given: weighted_step(*given, 2.0 if (folder / "stop").exists() else 1.0)


def saves_a_checkpoint(folder):
    def step(model, optimizer, batch):
        torch.save(model.state_dict(), folder / "checkpoint.pt")
        return weighted_step(model, optimizer, batch)

    return step


def loads_an_array(folder):
    numpy.save(folder / "table.npy", numpy.ones(3))
    return lambda *given: weighted_step(*given, float(numpy.load(folder / "table.npy")[0]))


FILES = [reads_a_file, writes_a_file, looks_for_a_file, saves_a_checkpoint, loads_an_array]


@pytest.mark.parametrize("make", FILES, ids=[make.__name__ for make in FILES])
def test_files_are_refused_by_line(make, tmp_path):
    refused(make(tmp_path), r"test_world\.py:\d+: the step (opens|saves|loads|.*looks for)")


def test_nothing_of_a_trace_is_written_to_a_file(tmp_path):
    refused(saves_a_checkpoint(tmp_path), "saves a file")
    kept = torch.load(tmp_path / "checkpoint.pt")  # by the trial run, which is a real one
    assert all(type(one) is torch.Tensor for one in kept.values())


def test_a_step_that_catches_the_refusal_is_refused_all_the_same(tmp_path):
    def step(*given):
        try:
            weight = float((tmp_path / "rate").read_text())
        except Exception:
            weight = 1.0
        return weighted_step(*given, weight)

    refused(step, "the step opens")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (lambda: time.time(), "reads the clock"),
        (lambda: perf_counter(), "reads the clock"),
        (lambda: time.monotonic_ns(), "reads the clock"),
        (lambda: datetime.date.today().day, "reads the clock"),
        (lambda: uuid.uuid4().int % 3, "draws from the system's randomness"),
        (lambda: random.SystemRandom().random(), "draws from the system's randomness"),
        (lambda: float(numpy.random.default_rng().random()), "draws from the system's randomness"),
        (lambda: torch.initial_seed() % 3, "asks for the seed"),
        (lambda: subprocess.run(["true"], check=True).returncode, "starts a process"),
        (lambda: os.system("true"), "starts a process"),
        (lambda: threading.Thread(target=print).start(), "starts a thread"),
        (lambda: os.environ.__setitem__("ROAM_TEST", "1"), "changes os.environ"),
    ],
)
def test_clock_chance_and_processes_are_refused(asked, expected, monkeypatch):
    monkeypatch.setenv("ROAM_TEST", "0")

    def step(*given):
        asked()
        return weighted_step(*given)

    refused(step, rf"test_world\.py:\d+: the step {expected}")


def test_everything_is_put_back_after_a_trace():
    def all_of_them():
        return (open, print, time.time, os.stat, os.urandom, os.environ.__class__.__getitem__, logging.Logger.handle,
                torch.save, perf_counter, torch._C.ScriptFunction.__call__)  # fmt: skip

    before = all_of_them()
    refused(lambda *given: weighted_step(*given, time.time()), "reads the clock")
    assert all_of_them() == before


def test_what_another_thread_does_is_its_own(capsys):
    """A thread that prints while the step is traced."""
    unseen = logging.Logger("not walked")
    unseen.over, unseen.tracing = threading.Event(), threading.Event()

    def talk():
        unseen.tracing.wait()
        print("a thread", time.time() > 0)
        unseen.over.set()

    def step(*given):
        if torch._guards.detect_fake_mode() is not None:
            unseen.tracing.set()
            unseen.over.wait()
        return weighted_step(*given)

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        _, run = trained(step)
    finally:
        unseen.tracing.set()
        thread.join()
    assert (capsys.readouterr().out, run.planned_steps) == ("a thread True\n", 4)


def test_what_a_library_does_for_itself_is_its_own(tmp_path):
    """datetime, warnings' source lines, imports: none of it is a step's own reading of files or clocks."""

    def step(*given):
        import this_module_does_not_exist_or_does as _  # noqa: F401

        return weighted_step(*given)

    (tmp_path / "this_module_does_not_exist_or_does.py").write_text("VALUE = 1\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        losses, run = trained(step)
    assert run.planned_steps == len(losses)


@pytest.mark.parametrize("check", ["first", "never"])
def test_variables_of_the_environment_are_guarded(monkeypatch, check):
    step = lambda *given: weighted_step(*given, float(os.environ.get("WEIGHT", "1")))  # noqa: E731

    def between(index):
        os.environ["WEIGHT"], os.environ["UNREAD"] = str(1 + (index >= 1)), str(index)

    runs = []
    for hooked in (False, True):
        monkeypatch.setenv("WEIGHT", "1")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("UNREAD", "0")
            runs.append(trained(step, between=between, hooked=hooked, check=check))
    (eager, _), (planned, run) = runs
    assert planned == eager
    assert run.planned_steps == 2
    assert list(run.reasons) == ["os.environ['WEIGHT'] has changed since the step was captured"]


@pytest.mark.parametrize("check", ["first", "never"])
def test_what_a_step_prints_is_printed_once_a_step(capsys, check):
    def step(*given):
        loss = weighted_step(*given)
        print("loss", loss.item(), sep="=", end=";")
        return loss

    eager, _ = trained(step, hooked=False)
    message = capsys.readouterr().out
    planned, run = trained(step, check=check)
    assert (planned, capsys.readouterr().out, run.planned_steps) == (eager, message, 4)


def test_what_a_step_logs_is_logged_once_a_step(caplog):
    def step(*given):
        loss = weighted_step(*given)
        LOG.info("loss %.6f of %s", loss.item(), "a step")
        LOG.debug("not shown")
        return loss

    heard = []
    for hooked in (False, True):
        with caplog.at_level(logging.INFO, logger=LOG.name):
            trained(step, hooked=hooked)
        heard.append([(one.name, one.lineno, one.getMessage()) for one in caplog.records if one.name == LOG.name])
        caplog.clear()
    assert len(heard[0]) == 4
    assert heard[1] == heard[0]


def prints_a_tensor(*given):
    loss = weighted_step(*given)
    print(loss)
    return loss


def prints_into_a_text(*given):
    loss = weighted_step(*given)
    print("loss " + str(loss.item()))
    return loss


def prints_an_object(*given):
    print(Path("a path"))
    return weighted_step(*given)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (prints_a_tensor, r"gives a tensor to print\(\) at .*test_world\.py:\d+"),
        (prints_into_a_text, r"into a text \(print\(\) at"),
        (prints_an_object, r"puts a PosixPath into print\(\) at"),
    ],
)
def test_what_could_not_be_printed_alike_is_refused(step, message, capsys):
    refused(step, message)
    capsys.readouterr()


def test_a_database_is_not_written_to_in_trial_runs():
    database = sqlite3.connect(":memory:")
    database.execute("create table steps (number integer)")

    def step(*given):
        database.execute("insert into steps values (1)")
        return weighted_step(*given)

    refused(step, "could not be put back after a trial run")
    assert database.execute("select count(*) from steps").fetchone() == (0,)


def test_a_path_is_told_in_the_refusal():
    refused(lambda *given: weighted_step(*given, len(Path("no-such-file").read_text())), "no-such-file")
