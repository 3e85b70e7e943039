"""`roam demo`: what it tells, what it leaves, and how it ends where it cannot go on."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

import roam_lab as roam
from roam_lab.capture.factory import load_factory
from roam_lab.cli import main
from roam_lab.demo import first_minute, gpt2
from roam_lab.demo.first_minute import FACTORY, demonstrate
from roam_lab.ir import load_graph
from roam_lab.progress import silent
from roam_lab.report.units import bytes_text
from roam_lab.runtime.measured_run import RunFigures
from roam_lab.runtime.verification import Verification

ROOT = Path(__file__).parents[2]
FIGURES = [
    "whole step, eager", "whole step, planned", "resident", "eager peak", "planned peak",
    "lower bound of any order", "proven optimal", "arena",
    "measured peak, eager", "measured peak, planned", "step time, planned / eager", "bit-identical",
]  # fmt: skip
TINY = """
import torch
from roam_lab.demo import gpt2

gpt2.VOCABULARY, gpt2.POSITIONS, gpt2.WIDTH, gpt2.HEADS, gpt2.DEPTH, gpt2.TOKENS = 101, 16, 16, 2, 1, 8
factory = gpt2.factory
"""


def figures(text):
    """The table of both halves, by label."""
    return dict(re.findall(r"^  (\S.*?)  +(\S.*)$", text, re.MULTILINE))


def test_the_model_is_gpt2_124m_of_random_weights():
    with torch.device("meta"):
        made = gpt2.factory()
    assert sum(parameter.numel() for parameter in made["model"].parameters()) == 124_439_808
    assert made["model"].training
    assert made["batch"].shape == (1, 128)


def in_this_process(factory, stem, progress):
    """What takes five processes of its own in the demo; the slow test has them."""
    return roam.verify(f"{stem}.roam.json", **load_factory(factory), steps=2)


def test_the_demo_tells_every_figure_and_leaves_the_three_files(capsys, monkeypatch, tmp_path):
    tiny = tmp_path / "tiny.py"
    tiny.write_text(TINY)
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")  # the user's own word counts
    folder = tmp_path / "new" / "place"
    monkeypatch.setattr(first_minute, "_verified", in_this_process)
    assert demonstrate(str(folder), silent, factory=f"{tiny}:factory", name="tiny")
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    text = capsys.readouterr().out
    found = figures(text)
    assert list(found)[: len(FIGURES)] == FIGURES
    assert found["bit-identical"] == "yes"
    assert text.index("arena") < text.index("picture after") < text.index("measured peak, eager")
    files = {path.name for path in folder.iterdir()}
    assert files == {"gpt2_demo.json.gz", "gpt2_demo.roam.json", "gpt2_demo.svg"}
    assert f"{folder}/gpt2_demo.svg" in text
    assert ElementTree.parse(folder / "gpt2_demo.svg").getroot().tag.endswith("svg")
    plan = roam.load(folder / "gpt2_demo.roam.json")
    assert f"{plan.peak_bytes / 1024:,.1f} KiB" == found["planned peak"]
    assert f"\n{plan.headline}, predicted;" in text  # also of the plan's file
    assert found["whole step, planned"] == bytes_text(plan.resident_bytes + plan.arena_bytes)
    (advised,) = re.findall(r"^ +roam (explain .*)$", text, re.MULTILINE)
    assert main(advised.split()) == 0
    assert re.search(r"demo/gpt2\.py:\d+\n", capsys.readouterr().out)  # lines of the model, as of a user's
    assert load_graph(folder / "gpt2_demo.json.gz").name == "tiny"


def test_what_it_advises_is_code_that_runs(tmp_path):
    lines = first_minute._next_steps("f", Path("f/g"))
    code = "\n".join(line.strip() for line in lines[2:5])
    assert code.startswith("import roam_lab as roam\n")
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 2))
    before = model[0].weight.clone()
    names = {
        "model": model,
        "optimizer": torch.optim.AdamW(model.parameters()),
        "criterion": torch.nn.CrossEntropyLoss(),
        "inputs": torch.randn(4, 8),
        "targets": torch.randint(0, 2, (4,)),
    }
    exec(code, names)
    assert not torch.equal(model[0].weight, before)


@pytest.mark.parametrize(("inside", "why"), [("", "is a file, not a folder"), ("folder", "Not a directory")])
def test_a_folder_that_cannot_be_made_is_one_sentence_before_anything_runs(capsys, tmp_path, inside, why):
    (tmp_path / "taken").write_text("mine")
    began = time.monotonic()
    assert main(["demo", "-o", str(tmp_path / "taken" / inside)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert str(tmp_path / "taken") in err
    assert why in err
    assert "choose another place with -o" in err
    assert time.monotonic() - began < 2
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_folder_without_permission_is_told(capsys, monkeypatch, tmp_path):
    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", denied)  # root may write everywhere
    assert main(["demo", "-o", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"roam: {tmp_path}: cannot be written to (Permission denied); choose another place with -o\n"
    )


def test_runs_of_other_bits_are_told_and_end_with_1(capsys, monkeypatch, tmp_path):
    run = RunFigures(base_bytes=1, peak_above_base_bytes=2, how="", step_seconds=(1.0, 1.0), losses=(1.0, 1.0))
    different = Verification(False, ("parameter a.weight differs by 1",), 3, "cpu", run, run, reasons={"a reason": 2})
    monkeypatch.setattr(first_minute, "_planned", lambda *_: (None, None))
    monkeypatch.setattr(first_minute, "_planned_figures", lambda *_: [])
    monkeypatch.setattr(first_minute, "_verdict", lambda *_: "")
    monkeypatch.setattr(first_minute, "_verified", lambda *_: different)
    assert main(["demo", "-o", str(tmp_path)]) == 1
    text = capsys.readouterr().out
    assert "parameter a.weight differs by 1" in text
    assert "2 of 3 planned steps ran eagerly: a reason" in text
    assert re.search(r"^  bit-identical +NO$", text, re.MULTILINE)


def test_an_interrupt_ends_it_with_one_line(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "roam_lab", "demo"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline().startswith("GPT-2 124M in plain PyTorch")
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode in (
        130,
        -signal.SIGINT,
    )  # Python's choice where an import was interrupted; shells say 130
    assert err == "roam: interrupted\n"
    assert "picture" not in out


@pytest.mark.slow
def test_the_whole_demo(tmp_path):
    """As a stranger runs it, with a folder of the default name; the time limit is for a busy machine."""
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-m", "roam_lab", "demo"],
        cwd=tmp_path, env={**environment, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    found = figures(done.stdout)
    assert list(found)[: len(FIGURES)] == FIGURES
    assert (found["resident"], found["proven optimal"], found["bit-identical"]) == ("1.39 GiB", "yes", "yes")
    plan = roam.load(tmp_path / "roam_demo" / "gpt2_demo.roam.json")
    assert plan.peak_bytes < 300 * 2**20
    assert Path(FACTORY.rpartition(":")[0]).is_file()
