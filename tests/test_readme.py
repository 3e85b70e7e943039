"""The README's and CONTRIBUTING's code is run, and what they print is what they say.

`ROAM_UPDATE_README=1 pytest tests/test_readme.py` writes the new output into the README.
"""

import os
import re
from pathlib import Path

import pytest
import torch

from roam_lab import registry
from roam_lab.arguments import ACTIONS
from roam_lab.cli import main
from roam_lab.ir.layout_csv import load_instance

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


def test_what_the_readme_links_to_exists():
    for path in (README, ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (ROOT / target).exists(), target
    for target in re.findall(r"^    make ([\w-]+)", README.read_text(), re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def test_the_strategy_of_contributing_works(capsys, in_folder, monkeypatch):
    (code,) = blocks(ROOT / "CONTRIBUTING.md", "python")
    monkeypatch.setattr(registry, "_REGISTRY", registry._Registry(dict(registry._REGISTRY.entries)))
    registry.strategies()
    exec(code, {"__name__": "my_strategies"})
    assert "stack" in {entry.name for entry in registry.strategies("layout")}
    (in_folder / "two.csv").write_text("id,lower,upper,size\na,0,2,100\nb,1,3,50\nc,3,4,10\n")
    assert main(["layout", "two.csv", "--layout", "stack", "-o", "out.csv"]) == 0
    assert load_instance("out.csv").ids == ("a", "b", "c")
    assert "live peak  150 bytes" in capsys.readouterr().out
