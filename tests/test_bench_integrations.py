"""The benchmark of the integrations: what it calls a fault, its page, and all of it on a small model."""

import copy
import json
import re

import pytest

from benchmarks.integrations import __main__ as driver
from benchmarks.integrations.page import page
from benchmarks.integrations.results import LIBRARIES, faults, read


def part(count, planned=None):
    losses = [5.0 - number / 64 for number in range(count)]
    return {
        "losses": losses, "evaluations": losses[:2], "norms": losses, "weights": "ab", "optimizer": "cd",
        "random": "ef", "planned_steps": planned or 0, "eager_steps": count - (planned or 0), "reasons": {},
        "median_step_seconds": 0.01, "first_step_seconds": 1.0, "peak_bytes": 2**28,
    }  # fmt: skip


@pytest.fixture
def rows():
    """Of one library, without a fault."""
    found = []
    for mode in ("eager", "hooked"):
        counts = (8, 4) if mode == "hooked" else (None, None)
        found.append({"size": "tiny", "library": "plain", "mode": mode, "steps": 8, "evaluate": 4,
                      "whole": part(8, counts[0]), "resumed": part(4, counts[1])})  # fmt: skip
    return found


def test_what_is_the_same_is_no_fault(rows):
    assert faults(rows) == []
    hooked = rows[1]["resumed"]
    hooked["losses"][0] = hooked["evaluations"][1] = float("nan")
    rows[0]["resumed"] = copy.deepcopy(hooked) | {"planned_steps": 0}
    assert faults(rows) == []


@pytest.mark.parametrize(
    ("of", "key", "value", "message"),
    [
        ("whole", "losses", lambda one: [*one[:5], one[5] + 2**-50, *one[6:]], r"whole: losses differ, .* at 5:"),
        ("resumed", "evaluations", lambda one: [one[0], -one[1]], r"resumed: evaluations differ, first the one at 1"),
        ("whole", "norms", lambda one: one[:-1], r"whole: norms differ, first their number"),
        ("resumed", "weights", lambda one: "other", r"resumed: weights differ"),
        ("whole", "planned_steps", lambda one: 5, r"whole: 5 of 8 steps were planned"),
    ],
)  # fmt: skip
def test_what_is_one(rows, of, key, value, message):
    rows[1][of][key] = value(rows[1][of][key])
    [fault] = faults(rows)
    assert re.search(message, fault)
    text = page({(row["size"], row["library"], row["mode"]): row for row in rows})
    assert fault in text
    assert "are identical" not in text


def test_a_training_that_ended_too_early_or_failed_is_one(rows):
    for row in rows:
        row["whole"]["losses"] = row["whole"]["losses"][:7]
    rows[1]["error"] = "whole: KeyError: 'loss'"
    assert faults(rows) == ["tiny plain eager, whole: 7 losses and 2 evaluations in 8 steps",
                            "tiny plain hooked: whole: KeyError: 'loss'"]  # fmt: skip


def test_the_page(rows):
    text = page({(row["size"], row["library"], row["mode"]): row for row in rows})
    assert "| PyTorch | 8 / 0 | 8 + 2 | 256.0 → 256.0 | 10.0 → 10.0 | 1.0 → 1.0 |" in text
    assert "Hooked and eager are identical in losses" in text


def test_what_is_there_is_not_run_again(monkeypatch, tmp_path, rows, capsys):
    ran = []

    def cell(size, library, hooked, steps, evaluate):
        ran.append((library, hooked))
        row = copy.deepcopy(rows[hooked]) | {"library": library, "sources": driver.sources(), "seconds": 1.0}
        return row | ({"error": "resumed: gone"} if (library, hooked) == ("trainer", True) and len(ran) < 9 else {})

    monkeypatch.setattr(driver, "cell", cell)
    words = ["--steps", "8", "--evaluate", "4", "-o", str(tmp_path / "r.json")]
    assert driver.main(words) == 1
    assert len(ran) == 2 * len(LIBRARIES)
    assert "tiny trainer hooked: resumed: gone" in capsys.readouterr().out
    assert driver.main(words) == 0
    assert ran[8:] == [("trainer", True)]
    assert len(read(tmp_path / "r.json")) == 8
    assert driver.main([*words, "--again", "--libraries", "plain"]) == 0
    assert len(ran) == 11


@pytest.mark.parametrize("words", [["--steps", "7"], ["--libraries", "plain,keras"], ["--size", "7b"]])
def test_what_it_does_not_know(words, capsys):
    with pytest.raises(SystemExit) as ended:
        driver.main(words)
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err


@pytest.mark.slow
def test_all_of_it(tmp_path):
    output = tmp_path / "r.json"
    assert driver.main(["--steps", "8", "--evaluate", "4", "-o", str(output)]) == 0
    found = {row["library"]: row for row in json.loads(output.read_text())["rows"] if row["mode"] == "hooked"}
    assert {*found} == {*LIBRARIES}
    for row in found.values():
        assert row["whole"]["losses"][4:] != row["resumed"]["losses"][:3]  # they are there, one by one
        assert len(set(row["whole"]["losses"])) == 8
