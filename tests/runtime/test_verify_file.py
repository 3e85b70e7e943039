"""`roam verify FILE.py:FACTORY`: from fresh processes, with their errors as one sentence."""

import json
import os
from pathlib import Path

import pytest
import torch

from roam_lab.capture import as_step, capture_step
from roam_lab.errors import DeviceError, InputError, RoamError
from roam_lab.plan import make_plan
from roam_lab.runtime import verify as module
from roam_lab.runtime.identity import digest
from roam_lab.runtime.measured_run import RunFigures
from roam_lab.runtime.paired import in_own_process
from roam_lab.runtime.verify import verify_file
from tests.zoo import adamw, tiny

FACTORIES = """
import os
import sys
sys.path.insert(0, {root!r})
import torch
from tests.zoo import adamw, tiny
from tests.zoo_training import clipped_step

def good():
    print("text on standard output")
    model, batch, loss = tiny()
    return {{"model": model, "optimizer": adamw(model.parameters()), "batch": batch}}

def unseeded():
    torch.manual_seed(int.from_bytes(os.urandom(4), "big"))
    return good()

def stepped():
    return {{**good(), "step": clipped_step}}

def raising():
    def loss(model, batch):
        raise ValueError("two\\nlines")
    return {{**good(), "loss": loss}}

def dying():
    print("about to die")
    sys.stdout.flush()
    os._exit(7)

def killed():
    os.kill(os.getpid(), 9)
"""
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("factories") / "train_file.py"
    path.write_text(FACTORIES.format(root=ROOT))
    return path


def counted(start):
    """A step for a process of its own: counts on from `start`, refuses a negative one, fails beyond 11."""
    if start < 0:
        raise InputError("start is negative")
    values = iter(range(start, 12))
    return lambda: float(next(values))


@pytest.mark.slow
def test_a_step_in_its_own_process_and_its_errors_here():
    with in_own_process(counted, 10) as step:
        assert [step(), step()] == [10.0, 11.0]
        with pytest.raises(StopIteration):
            step()
    with pytest.raises(InputError, match="start is negative"), in_own_process(counted, -1):
        pass


def test_errors_before_any_process(file, monkeypatch):
    monkeypatch.setattr(module, "FreshProcesses", None)
    with pytest.raises(InputError, match="there is no such file"):
        verify_file("none.py:good")
    with pytest.raises(InputError, match=r"not FILE\.py:FACTORY"):
        verify_file(str(file))
    with pytest.raises(InputError, match="at least 2"):
        verify_file(f"{file}:good", steps=1)
    with pytest.raises(DeviceError, match="no such device"):
        verify_file(f"{file}:good", device="abacus")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="finds no CUDA device"):
            verify_file(f"{file}:good", device="cuda")


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        pytest.param("nothing", InputError, "there is no function nothing", marks=pytest.mark.slow),
        ("raising", RoamError, "train_file.py:23: "),
        pytest.param("dying", RoamError, "its last line was: about to die", marks=pytest.mark.slow),
        pytest.param("killed", RoamError, "was killed (signal 9)", marks=pytest.mark.slow),
    ],
)
def test_errors_of_runs_are_one_sentence(file, name, kind, words):
    with pytest.raises(kind) as error:
        verify_file(f"{file}:{name}")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.slow  # tests/test_cli.py verifies a file, too
def test_fresh_processes_agree(file, capfd):
    stages = []
    result = verify_file(
        f"{file}:stepped", steps=3, scheduler=True, pairs=2, progress=lambda stage, part: stages.append(stage)
    )
    assert result.differences == ()
    assert result.identical
    assert len(result.eager.losses) == len(result.planned.step_seconds) == 3
    assert result.eager.losses == result.planned.losses
    assert result.eager.base_bytes > 0
    assert result.arena_bytes
    assert result.paired_step_ratio == result.time_ratio
    assert result.to_data()["identical"] is True
    assert result.lines()[0].startswith("bit-identical: yes")
    assert stages == ["capture and plan", "eager run", "planned run", "paired runs"]
    assert capfd.readouterr() == ("", "")  # what the user's code prints does not mix with ours


@pytest.mark.slow  # seven processes; the next test has what they find in each
def test_fresh_processes_that_differ_are_told_apart(file):
    model, batch, loss = tiny()
    plan = make_plan(capture_step(model, adamw(model.parameters()), batch, as_step(loss)).graph)
    result = verify_file(f"{file}:unseeded", plan, steps=2)
    assert not result.identical
    assert result.differences[0].startswith("loss of step 1 differs in 1 of 1 elements, at most by ")
    assert "more of" in result.differences[-1]
    assert result.lines()[0].startswith("bit-identical: NO")
    found = next(line for line in result.lines() if line.startswith("eager alone differs from run to run"))
    assert found.endswith("also with deterministic algorithms")


class Scripted:
    """In place of fresh processes: each run finds what is written down for it, as far as it goes."""

    def __init__(self, request, folder):
        self.request, self.ran = request, []

    def run(self, mode, **_):
        self.ran.append((mode, bool(self.request.get("deterministic"))))
        if mode == "plan":
            plan = {"arena_bytes": 64}
            Path(self.request["plan"]).write_text(json.dumps(plan))
            return {}
        loss = digest(torch.tensor(ord(self.losses[self.ran[-1]].pop(0))))
        figures = RunFigures(0, 0, "not", (1.0,), (0.0,))
        return {"figures": figures.to_data(), "digests": {"loss of step 1": loss, "bias": "same"}, "reasons": {}}

    def amount(self, name):
        return f"by the amount of {name}"


@pytest.mark.parametrize(
    ("losses", "ran", "unrepeatable", "differences"),
    [
        ("aa", "pep", (), ()),
        ("aba", "pepe", (), ("loss of step 1 differs by the amount of loss of step 1",)),
        ("abcdd", "pepePEP", ("loss of step 1",), ()),
        ("abcde", "pepePEP", ("loss of step 1",), ("loss of step 1 differs by the amount of loss of step 1",)),
    ],
    ids=["the same", "planned differs", "eager differs alone", "both differ always"],
)
def test_eager_is_asked_again_and_then_deterministically(monkeypatch, file, losses, ran, unrepeatable, differences):
    """`ran`: plan, eager and planned runs, in capitals those with deterministic algorithms."""
    made = []
    eager, planned = ("eager", False), ("planned", False)
    where = [eager, planned, eager, ("eager", True), ("planned", True)]
    found = {key: [] for key in where}
    for key, loss in zip(where, losses, strict=False):
        found[key].append(loss)

    def scripted(*given):
        made.append(Scripted(*given))
        made[0].losses = found
        return made[0]

    monkeypatch.setattr(module, "FreshProcesses", scripted)
    result = verify_file(f"{file}:good", steps=2)
    letters = {"plan": "p", "eager": "e", "planned": "p"}
    assert "".join(letters[m].upper() if deterministic else letters[m] for m, deterministic in made[0].ran) == ran
    assert (result.unrepeatable, result.differences) == (unrepeatable, differences)
    assert result.identical == (not differences)
    seen = [line for line in result.lines() if line.startswith("eager alone differs from run to run")]
    assert len(seen) == len(unrepeatable)
    assert all(line.endswith("also with deterministic algorithms") == bool(differences) for line in seen)
