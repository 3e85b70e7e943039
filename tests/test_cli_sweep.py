"""`roam sweep` and `%roam sweep`: the table, the statuses, and what users get wrong; and the page on sweeps."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from roam_lab.cli import main
from roam_lab.sweeps import sweeping
from roam_lab.sweeps.rows import FAILED, PLANNED, failed_rows
from tests.notebook_shell import cell, open_shell
from tests.sweeps.conftest import folder

__all__ = ["folder"]
PAGE = Path(__file__).parents[1] / "docs" / "sweeps.md"
ANSWERED = {
    **dict.fromkeys(("resident_bytes", "eager_peak_bytes", "captured_peak_bytes"), 2**20),
    **dict.fromkeys(("peak_bytes", "arena_bytes", "step_bytes", "lower_bound_bytes"), 2**19),
    "optimal": True,
    "extra_time": 0.1,
    "savings": [{"kind": "in_place", "bytes": 2**19, "extra_time": 0.1}],
    "seconds": 1.5,
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is captured: batch size 5 fails, others have the figures of ANSWERED."""

    def work(task):  # type: ignore[no-untyped-def]
        rows = failed_rows(task, "five <b>rows</b> are refused")
        answered = {"status": PLANNED, "error": None, **ANSWERED}
        return [row if row["point"]["batch"] == 5 else {**row, **answered} for row in rows]

    monkeypatch.setattr(sweeping, "work", work)


def test_a_table_and_its_rows_as_json(capsys: pytest.CaptureFixture[str], folder: Path, quick: None) -> None:
    words = ["sweep", "train.py:make", "--batch", "1,2", "--dtype", "float32,bf16", "-o", "t.jsonl"]
    words += ["--optimizer", "AdamW,SGD(momentum=0.9,nesterov=True)", "--extra-time", "0,0.1", "--budget", "4GiB"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    *lines, last = out.splitlines()
    assert last == "24 points: 24 planned"
    assert re.split(r" {2,}", lines[0].strip()) == [
        "model", "batch", "dtype", "optimizer", "asked", "order", "layout", "peak", "arena",
        "whole step, eager", "planned", "Δ", "more time", "gap", "plan s", "peak saved by, or why there is no plan",
    ]  # fmt: skip
    assert "SGD(momentum=0.9,nesterov=True)  4.00 GiB" in out
    assert re.search(r"512\.0 KiB  512\.0 KiB +1\.0 MiB  512\.0 KiB  -50\.0 % +10\.0 %  optimal", out)
    assert main([*words, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {json.loads(line)["key"] for line in Path("t.jsonl").read_text().splitlines()} == {
        row["key"] for row in rows
    }
    assert main(["sweep", "--show", "t.jsonl"]) == 0
    assert capsys.readouterr().out == out


def test_a_failed_point_is_status_1_and_told(capsys: pytest.CaptureFixture[str], folder: Path, quick: None) -> None:
    assert main(["sweep", "train.py:make", "--batch", "4,5", "-o", "t.jsonl"]) == 1
    out, err = capsys.readouterr()
    assert "2 points: 1 planned, 1 failed" in out
    assert err == "roam: 1 of 2 points failed, as their rows say; the same command runs them again\n"
    with Path("t.jsonl").open("a") as file:
        file.write('{"format": "roam-sweep/1", "key": "1')
    assert main(["sweep", "--show", "t.jsonl"]) == 0  # to show it is no failure
    assert capsys.readouterr().out == out
    assert main(["sweep", "train.py:make", "--batch", "4", "-o", "t.jsonl"]) == 0
    assert "roam: t.jsonl: its last line was torn" in capsys.readouterr().err


def test_an_interrupt_says_how_to_go_on(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(task: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweeping, "work", work)
    assert main(["sweep", "train.py:make", "-o", "t.jsonl"]) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "roam: interrupted; the rows that are there stay in t.jsonl, and the same command goes on\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "there is nothing to sweep over; name FILE.py:FACTORY"),
        (["train.py:make"], "a sweep needs a file for its rows; name it with -o TABLE.jsonl"),
        (["t.jsonl"], "t.jsonl: not FILE.py:FACTORY; show the table of an earlier sweep with --show t.jsonl"),
        (["train.py:make", "--show", "t.jsonl"], "--show runs nothing"),
        (["--show", "t.jsonl"], "t.jsonl: there is no such file"),
        (["--show", "train.py"], "train.py:2: not a row of a sweep"),
        (["train.py", "-o", "t.jsonl"], "factory is 'train.py'; give FILE.py:FACTORY"),
        (["nix.py:make", "-o", "t.jsonl"], "nix.py: there is no such file"),
        (["train.py:make", "-o", "no/t.jsonl"], "no/t.jsonl: cannot be written (No such file or directory)"),
        (["train.py:make", "-o", "."], ".: cannot be written (Is a directory)"),
        (["train.py:make", "-o", "/dev/null"], "/dev/null: not a file"),
        (["train.py:make", "-o", "t.jsonl", "--jobs", "0"], "argument --jobs: '0' is not a whole number"),
        (["train.py:make", "-o", "t.jsonl", "--batch", "1,,2"], "argument --batch: '' is not a whole number"),
        (["train.py:make", "-o", "t.jsonl", "--batch", "1,x"], "argument --batch: 'x' is not a whole number"),
        (["train.py:make", "-o", "t.jsonl", "--budget", "4GB"], "argument --budget: '4GB' is not a size"),
        (["train.py:make", "-o", "t.jsonl", "--dtype", "int8"], "there is no dtype 'int8' to sweep over"),
        (["train.py:make", "-o", "t.jsonl", "--optimizer", "SGD("], "'SGD(' is no optimizer"),
        (["train.py:make", "-o", "t.jsonl", "--order", "auto,rom"], "there is no order strategy 'rom'"),
    ],
)
def test_bad_input_is_one_line(
    capsys: pytest.CaptureFixture[str], folder: Path, quick: None, words: list[str], expected: str
) -> None:
    assert main(["sweep", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"roam: {expected}")
    assert err.count("\n") == 1
    assert not Path("t.jsonl").exists()


def test_a_damaged_row_is_named(capsys: pytest.CaptureFixture[str], folder: Path, quick: None) -> None:
    main(["sweep", "train.py:make", "--batch", "1,2", "-o", "t.jsonl"])
    first, second = Path("t.jsonl").read_text().splitlines()
    row = json.loads(first)
    for key in ("key", "point", "status", "peak_bytes", "seconds"):
        Path("t.jsonl").write_text(f"{second}\n{json.dumps({**row, key: None})}\n")
        capsys.readouterr()
        assert main(["sweep", "--show", "t.jsonl"]) == 2
        assert capsys.readouterr().err.startswith(f"roam: t.jsonl:2: the row's '{key}' is missing")
    Path("t.jsonl").write_text(json.dumps({**row, "new": 1, "point": {**row["point"], "newer": 2}}) + "\n")
    assert main(["sweep", "--show", "t.jsonl"]) == 0


def test_in_a_notebook(folder: Path, quick: None) -> None:
    with open_shell() as shell:
        caught = cell(shell, "t = %roam sweep train.py:make --batch 4,5 -o t.jsonl")
        (shown,) = caught.outputs
        html = shown.data["text/html"]
        assert html.startswith('<div style="overflow-x:auto"><table><thead><tr><th')
        assert html.count("<tr>") == 3
        assert "five &lt;b&gt;rows&lt;/b&gt; are refused" in html
        assert "2 points: 1 planned, 1 failed" in shown.data["text/plain"]
        assert [row["status"] for row in shell.user_ns["t"].rows] == [PLANNED, FAILED]
        again = cell(shell, "u = %roam sweep --show t.jsonl")
        assert again.outputs[0].data["text/html"] == html
        assert "a sweep needs a file" in cell(shell, "%roam sweep train.py:make").stderr


def test_the_page_is_what_runs(capsys: pytest.CaptureFixture[str], folder: Path, quick: None) -> None:
    page = PAGE.read_text()
    commands = re.findall(r"^    roam (.*?)(?:\s+#.*)?$", page, re.MULTILINE)
    assert [main(command.split()) for command in commands] == [0, 0]
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    capsys.readouterr()
    # threads, so that what stands in for captures is seen by the workers
    exec(code.replace('"loky"', '"threading"'), {})
    assert "8 points: 8 planned" in capsys.readouterr().out
