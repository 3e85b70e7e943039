"""`make mutations`: which faults a file can have, and that a fault is found, survives, or is timed out."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

CODE = '''
"""A module."""
LIMIT = 3

def double(x: int = 2) -> int:
    """What it does: 4."""
    if not x or x < 1:
        raise ValueError(f"{x + 1} is bad")
    seen.add(x)
    return x * 2
'''


@pytest.fixture
def mutations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script, with a folder of its own as the repository."""
    path = Path(__file__).parents[1] / "tools" / "mutations.py"
    monkeypatch.syspath_prepend(path.parent)  # as Python does for a script
    spec = importlib.util.spec_from_file_location("mutations", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "mutations", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    (tmp_path / "roam_lab").mkdir()
    (tmp_path / "tests").mkdir()
    for name in ("pyproject.toml", "README.md"):
        (tmp_path / name).write_text("")
    (tmp_path / "roam_lab" / "some.py").write_text(CODE)
    return module


def test_each_place_that_computes_has_its_faults(mutations: ModuleType) -> None:
    found = [
        mutations.made(fault, mutations.ROOT) for fault in mutations.faults_of(mutations.ROOT / "roam_lab" / "some.py")
    ]
    assert {(one.kind, one.line, one.before, one.after) for one in found} == {
        ("constant", 5, "2", "3"),
        ("condition", 7, "if not x or x < 1:", "if True:"),
        ("condition", 7, "if not x or x < 1:", "if False:"),
        ("boolean", 7, "not x or x < 1", "not x and x < 1"),
        ("not", 7, "not x", "x"),
        ("comparison", 7, "x < 1", "x <= 1"),
        ("constant", 7, "1", "2"),
        ("statement", 9, "seen.add(x)", "pass"),
        ("return value", 10, "return x * 2", "return None"),
        ("arithmetic", 10, "x * 2", "x // 2"),
        ("constant", 10, "2", "3"),
    }
    for one in found:
        compile(one.source, one.file, "exec")
        assert one.function == "double"
    assert len({one.source for one in found}) == len({one.name for one in found}) == len(found)


def test_a_sample_is_the_same_for_the_same_seed(mutations: ModuleType) -> None:
    room = mutations.Room(("*.py",), ())
    assert mutations.sampled(room, 4, 1) == mutations.sampled(room, 4, 1)
    every, drawn = mutations.sampled(room, 400, 1)
    assert every == len(drawn) == 11
    assert mutations.sampled(room, 4, 1)[1] != mutations.sampled(room, 4, 2)[1]


def test_a_score_counts_no_mutant_that_is_explained(mutations: ModuleType) -> None:
    first, second, third, *_ = mutations.sampled(mutations.Room(("*.py",), ()), 4, 0)[1]
    rows = [(first, "killed"), (second, "survived"), (third, "timed out")]
    found = mutations.summary(rows, {})
    assert (found["score"], found["killed"], found["timed out"]) == (0.667, 2, 1)
    assert [one["name"] for one in found["survivors"]] == [second.name]
    explained = mutations.summary(rows, {second.name: "the same set"})
    assert (explained["score"], explained["counted"], explained["drawn"]) == (1.0, 2, 3)
    assert (explained["survivors"], explained["explained"]) == ([], 1)


def test_a_run_goes_on_with_what_was_not_come_to(mutations: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    words = iter(["survived", "killed", "survived", "killed", "killed"])
    ran = []

    def run(tree: object, mutant: object, tests: object, limit: float) -> tuple[str, float]:
        ran.append(mutant)
        return ("survived" if mutant is None else next(words)), 0.0

    monkeypatch.setattr(mutations.Tree, "run", run)
    monkeypatch.setattr(mutations, "ROOMS", {"some": mutations.Room(("*.py",), ("tests",))})
    monkeypatch.setattr(mutations, "SEEN", mutations.ROOT / "build")
    monkeypatch.setattr(mutations, "RESULTS", mutations.ROOT / "results.json")
    monkeypatch.setattr(mutations, "PRELOADED", ())
    for count, options, ran_now, scores in (
        (2, [], 2, {"seed 3": 0.5}),
        (3, ["--go-on"], 1, {"seed 3": 0.333}),
        (3, ["--go-on"], 0, {"seed 3": 0.333}),
        (3, ["--survivors"], 2, {"seed 3": 0.333, "seed 3, with tests written since": 1.0}),
    ):
        ran.clear()
        mutations.main(["some", "--count", str(count), "--seed", "3", *options])
        assert len(ran) - 1 == ran_now
        assert {name: run["score"] for name, run in mutations.kept()["some"]["runs"].items()} == scores


def test_the_mutants_own_tests_come_first_and_are_never_left_out(mutations: ModuleType) -> None:
    (mutant,) = mutations.sampled(mutations.Room(("*.py",), ()), 1, 0)[1]
    room = mutations.Room((), ("tests", "--ignore=tests/test_some.py", "--ignore=tests/test_other.py"))
    copy = mutations.ROOT / "copy"
    (copy / "tests").mkdir(parents=True)
    (mutations.ROOT / "tests" / "test_some.py").write_text("")  # written after the copy was made
    assert mutations.mirrored_first(mutant, room, copy) == room.tests
    (copy / "tests" / "test_some.py").write_text("")
    assert mutations.mirrored_first(mutant, room, copy) == (
        "tests/test_some.py", "tests", "--ignore=tests/test_other.py",
    )  # fmt: skip
