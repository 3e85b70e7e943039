"""The README's code is run, and what it prints is what it says.

`ROAM_UPDATE_README=1 pytest tests/test_readme.py` writes the new output into the README.
"""

import os
import re
from pathlib import Path

import pytest
import torch

from roam_lab.app.arguments import ACTIONS
from roam_lab.cli import main

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def blocks(path, language):
    return [text for found, text in BLOCK.findall(path.read_text()) if found == language]


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_example_prints_what_the_readme_says(capsys, in_folder):
    torch.manual_seed(0)
    exec(blocks(README, "python")[0], {"__name__": "__main__"})
    printed = capsys.readouterr().out
    (shown,) = blocks(README, "text")
    if os.environ.get("ROAM_UPDATE_README"):
        README.write_text(README.read_text().replace(f"```text\n{shown}```", f"```text\n{printed}```"))
        shown = printed
    assert printed == shown


def test_the_commands_run(capsys, in_folder):
    factory = next(text for text in blocks(README, "python") if text.startswith("# train.py"))
    (in_folder / "train.py").write_text(factory)
    (session,) = blocks(README, "console")
    commands = [line.removeprefix("$ roam ").split() for line in session.splitlines()]
    for words in commands:
        assert main(words) == 0, words
    assert "bit-identical: yes" in capsys.readouterr().out
    assert (in_folder / "step.svg").read_text().startswith("<svg ")
    documented = {words[0] for words in commands}
    assert documented == {action.name for action in ACTIONS if "command" in action.faces} - {"layout", "demo"}
    assert "\n    roam demo " in README.read_text()  # tests/demo runs it: it takes minutes
