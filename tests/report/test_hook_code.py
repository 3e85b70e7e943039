"""Code that trains by a plan, for each loop: what it refuses, and that it runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from roam_lab.errors import InputError
from roam_lab.report.cells import needed_statements
from roam_lab.report.hook_code import LOOPS, Hooked, Loop, hook_code

NAMES = {"model": "net", "optimizer": "optimizer", "batch": "batch"}
SETUP = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))

    def forward(self, inputs, labels):
        return {"loss": torch.nn.functional.cross_entropy(self.layers(inputs), labels)}

class Output(dict):
    loss = property(lambda self: self["loss"])

torch.manual_seed(0)
net = Net()
forward = net.forward
net.forward = lambda inputs, labels: Output(forward(inputs, labels))
batch = {"inputs": torch.randn(4, 8), "labels": torch.randint(0, 4, (4,))}
optimizer = torch.optim.AdamW(net.parameters())
"""


def test_a_loop_that_cannot_take_the_step_says_so() -> None:
    own = Hooked("'p.roam.json'", "told", {**NAMES, "step": "train_step"}, "mapping")
    for loop in ("trainer", "lightning"):
        with pytest.raises(InputError, match="has a training step of its own, and this profile was made with --step"):
            hook_code(loop, own)  # type: ignore[arg-type]
    assert "step=train_step" in hook_code("plain", own)
    with pytest.raises(InputError, match=r"Trainer calls model\(\*\*batch\) and takes the output's own loss"):
        hook_code("trainer", Hooked("'p.roam.json'", "told", NAMES, "sequence"))


def test_goals_names_and_a_default_optimizer_are_in_the_code() -> None:
    goals = {"extra_time": 0.05, "budget": None, "device": "cuda"}
    hooked = Hooked("'p.roam.json'", "vit: auto", {"model": "vit", "batch": "images"}, "mapping", goals=goals)
    for loop in LOOPS:
        code = hook_code(loop, hooked)
        compile(code, loop, "exec")
        assert "optimizer = torch.optim.AdamW(vit.parameters())" in code
        assert "images" in code
        assert ("extra_time=0.05" in code) == (loop != "plain")  # a plan has its goals in it
        assert "budget" not in code
        assert "cpu=True" not in code.replace("use_cpu", "cpu")


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
def test_the_code_runs(loop: Loop, tmp_path: Path) -> None:
    import roam_lab as roam

    space: dict[str, object] = {}
    exec(SETUP, space)
    assert isinstance(space["net"], torch.nn.Module)
    roam.profile(space["net"], space["batch"], space["optimizer"], fake=True).plan().save(tmp_path / "p.roam.json")
    path = tmp_path / "train.py"
    path.write_text(SETUP + hook_code(loop, Hooked("'p.roam.json'", "told", NAMES, "mapping")))
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    planned = int(done.stdout.splitlines()[-1].split()[0])
    assert planned >= 3, done.stdout + done.stderr  # a loop's first step may show what a step reads


SEVERAL = """
inputs, labels = batch["inputs"], batch["labels"]
first = torch.optim.SGD(net.layers[0].parameters(), lr=0.1, momentum=0.9)
second = torch.optim.AdamW(net.layers[2].parameters())
"""


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["plain", "accelerate"])
def test_the_code_of_several_optimizers_runs(loop: Loop, tmp_path: Path) -> None:
    import roam_lab as roam

    space: dict[str, object] = {}
    exec(SETUP + SEVERAL, space)
    two = (space["first"], space["second"])
    roam.profile(space["net"], space["batch"], two, fake=True).plan().save(tmp_path / "p.roam.json")
    path = tmp_path / "train.py"
    hooked = Hooked("'p.roam.json'", "told", {**NAMES, "optimizer": "first,second"}, "mapping", several=True)
    path.write_text(SETUP + SEVERAL + hook_code(loop, hooked))
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.splitlines()[-1].split()[0]) >= 3, done.stdout + done.stderr


def test_loops_of_one_optimizer_refuse_several() -> None:
    for loop in ("trainer", "lightning"):
        with pytest.raises(InputError, match="trains by one optimizer, and this step has several; export the code"):
            hook_code(loop, Hooked("'p.roam.json'", "told", NAMES, "mapping", several=True))  # type: ignore[arg-type]


CELLS = (
    "import torch, os\nfrom torch import nn",
    "%load_ext roam_lab\n!ls\ntorch.manual_seed(1)",
    "width = 4\nunused = open('x')",
    "class Net(nn.Linear):\n    size = width",
    "model, other = Net(3, width), 5\nmodel.train()\nmodel.bias.data[0] = 1\nprint(model)",
    "p = %roam profile model batch\nprint(p)\nbatch?",
    "%%roam profile model batch\n@torch.no_grad\ndef train_step(model, optimizer, batch):\n    return helper(model)",
    "def helper(model):\n    return model.bias.sum()",
    "this is no Python",
    "for _ in range(3):\n    loss = train_step(model, None, None)",
    "if width:\n    batch = torch.ones(2, 3)",
)


def test_only_what_is_needed_becomes_a_script() -> None:
    text = needed_statements(CELLS, {"model", "batch", "train_step"})
    assert text.splitlines() == [
        "import torch, os",
        "from torch import nn",
        "torch.manual_seed(1)",
        "width = 4",
        "class Net(nn.Linear):",
        "    size = width",
        "model, other = Net(3, width), 5",
        "model.train()",
        "model.bias.data[0] = 1",
        "@torch.no_grad",
        "def train_step(model, optimizer, batch):",
        "    return helper(model)",
        "def helper(model):",
        "    return model.bias.sum()",
        "if width:",
        "    batch = torch.ones(2, 3)",
    ]
    space: dict[str, object] = {}
    exec(text, space)
    assert {"model", "batch", "train_step"} <= set(space)
