"""The code of a line: of cells and Python files that this kernel can read, of nothing else."""

from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from roam_lab.lab.source_code import MOST_LETTERS, code_of


def test_a_line_of_a_python_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train.py").write_text(f"import torch\n    loss = model(batch)\nlong = {'x' * 200}\n")
    (tmp_path / "secret.txt").write_text("word\n")
    monkeypatch.chdir(tmp_path)
    assert code_of("train.py:2") == "loss = model(batch)"
    assert len(code_of("train.py:3")) == MOST_LETTERS
    assert code_of(f"{tmp_path}/train.py:1") == "import torch"
    for other in ("train.py:9", "train.py", "", "gone.py:1", "secret.txt:1", "In[1]:1", "train.py:-1"):
        assert code_of(other) == "", other


def test_a_line_of_a_cell() -> None:
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    try:
        shell.run_cell("1 + 1\ndef step():\n    return 3", store_history=True).raise_error()
        number = shell.execution_count - 1
        assert code_of(f"In[{number}]:3") == "return 3"
        assert code_of(f"In[{number + 1}]:1") == ""
    finally:
        InteractiveShell.clear_instance()
