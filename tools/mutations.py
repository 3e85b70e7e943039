"""Mutation scores: of small faults put into the code, how many do the tests find? `make mutations`.

A seeded sample of mutants of each room (a comparison, an operator, a constant, a statement or a returned value changed)
is put, one at a time, into a copy of the tree, and the tests that mirror the room are run on it in a forked process
with a time limit. A mutant is killed where they fail or do not end; the others survive, and are listed with their
lines in benchmarks/results/mutations.json, for each seed apart; what `--survivors` finds with tests that were written
since stands beside what the first run of that seed found. One that changes nothing that a caller could see gets
the reason there, by hand, under `explained` of its room: it holds for all seeds, and such a mutant does not count.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutants import Mutant, faults_of, made

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "mutations.json"
SEEN = ROOT / "build" / "mutations"
"""For each room and seed, what has become of its mutants so far: a line each, so that a run can go on."""
LEAST_SECONDS = 10.0
"""Limit of a run: this, and five times what the tests take without a fault."""
PRELOADED = ("networkx", "numba", "numpy", "pytest", "torch", "torch.fx.experimental.proxy_tensor")
"""Imported once, before a process is forked for each mutant."""


PYTEST = ("-x", "-q", "--assert=plain", "-p", "no:cacheprovider")


@dataclass(frozen=True)
class Room:
    """Files, and the tests that run on each of their mutants: those that need neither a process nor a browser."""

    files: tuple[str, ...]
    tests: tuple[str, ...]


PROCESSES = ("shared_graphs", "large", "light_import", "apart")
"""Tests of plan/ that start processes, or take long."""
PAIRS = "--deselect=tests/plan/test_planner.py::test_every_pair_of_strategies_is_judged"
"""A thousand tests of orders and layouts, of which a few would do for plan/."""
ROOMS = {
    "ir": Room(("ir/*.py",), ("tests/ir", "tests/rewrite/test_offload.py", "tests/rewrite/test_expand.py")),
    "guards": Room(
        ("runtime/step_guards.py", "capture/sources/guards.py"),
        (
            "tests/capture/sources/test_guards.py",
            "tests/capture/sources/test_guards_differing.py",
            "tests/capture/sources/test_python_state.py",
            "tests/runtime/test_step_guards.py",
            "tests/runtime/test_changed_by_the_user.py",
        ),
    ),
    "rewrite": Room(("rewrite/*.py",), ("tests/rewrite",)),
    "plan": Room(("plan/*.py",), ("tests/plan", *(f"--ignore=tests/plan/test_{name}.py" for name in PROCESSES), PAIRS)),
}


def sampled(room: Room, count: int, seed: int) -> tuple[int, list[Mutant]]:
    """How many mutants the room has, and `count` of them, drawn with this seed; all where there are fewer."""
    files = sorted({path for pattern in room.files for path in (ROOT / "roam_lab").glob(pattern)})
    every = [fault for path in files for fault in faults_of(path)]
    drawn = [made(fault, ROOT) for fault in random.Random(seed).sample(every, min(count, len(every)))]
    return len(every), sorted(drawn, key=lambda one: (one.file, one.line, one.kind, one.after))


class Tree:
    """A copy of package and tests, where one file at a time holds a mutant."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ignored = shutil.ignore_patterns("__pycache__", "labextension")
        for name in ("roam_lab", "tests"):
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, folder / name)

    def run(self, mutant: Mutant | None, tests: tuple[str, ...], limit_seconds: float) -> tuple[str, float]:
        """What becomes of it, "survived", "killed" or "timed out", and in how many seconds."""
        began = time.monotonic()
        path = self.folder / mutant.file if mutant else None
        kept = path.read_text() if path else ""
        if path and mutant:
            self._put(path, mutant.source)
        try:
            child = os.fork()
            if not child:
                self._tests(tests)
            status = _awaited(child, limit_seconds)
        finally:
            if path:
                self._put(path, kept)
        seconds = time.monotonic() - began
        return ("timed out" if status is None else "killed" if status else "survived"), seconds

    def _put(self, path: Path, source: str) -> None:
        """Bytecode is told from stale by seconds and size alone."""
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
            compiled.unlink()
        path.write_text(source)

    def _tests(self, tests: tuple[str, ...]) -> None:
        """In the forked process: run them, and end with pytest's status."""
        status = 1
        try:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            silent = os.open(self.folder / "log", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
            os.chdir(self.folder)
            os.environ["PYTHONPATH"] = str(self.folder)
            os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
            os.environ["ROAM_TESTS_AS_GIVEN"] = "1"
            sys.path.insert(0, str(self.folder))
            pytest = importlib.import_module("pytest")
            status = int(pytest.main([*PYTEST, *tests]))
        finally:
            os._exit(status)


def _awaited(child: int, limit_seconds: float) -> int | None:
    """The exit status of a process, None where it was killed at the limit."""
    end, found = time.monotonic() + limit_seconds, 0
    try:
        while time.monotonic() < end:
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                return status
            time.sleep(0.02)
        return None
    finally:
        if not found:  # at the limit, or this process is being ended
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns 1 where a room's score is below `--least`."""
    parser = argparse.ArgumentParser(prog="tools/mutations.py", description=__doc__.splitlines()[0])
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=f"some of {', '.join(ROOMS)} (default: all)")
    parser.add_argument("--count", type=int, default=60, metavar="N", help="mutants of each room (default: 60)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--go-on", action="store_true", help="run those alone that no run before came to")
    parser.add_argument("--survivors", action="store_true", help="as --go-on, and those that survived before")
    parser.add_argument("--least", type=float, default=0.9, help="the score that is wanted (default: 0.9)")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.rooms) - set(ROOMS))
    if unknown:
        parser.error(f"there is no room {', '.join(unknown)}; choose some of {', '.join(ROOMS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(124))  # so that the copy of the tree and its process go, too
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    scores = []
    for name in given.rooms or ROOMS:
        before = kept().get(name, {})
        found = room_result(name, given, before.get("explained", {}))
        run = f"seed {given.seed}{', with tests written since' if given.survivors else ''}"
        runs = {**before.get("runs", {}), run: found}
        RESULTS.write_text(json.dumps({**kept(), name: {**before, "runs": runs}}, indent=1) + "\n")
        scores.append(found["score"])
        print(f"{name}: {found['score']:.0%} of {found['counted']} mutants killed, sampled from {found['of']}")
    return int(min(scores) < given.least)


def kept() -> dict[str, Any]:
    """The results that are there, room by room."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def room_result(name: str, given: argparse.Namespace, reasons: dict[str, str]) -> dict[str, Any]:
    """Run the sample of a room. Its score and survivors, as data."""
    room = ROOMS[name]
    every, drawn = sampled(room, given.count, given.seed)
    path = SEEN / f"{name}_{given.seed}.jsonl"
    seen = seen_before(path) if given.go_on or given.survivors else {}
    if given.survivors:
        seen = {fault: word for fault, word in seen.items() if word != "survived"}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps([*fault, word]) + "\n" for fault, word in seen.items()))
    rows = []
    with tempfile.TemporaryDirectory(prefix="roam-mutants-") as folder:
        tree = Tree(Path(folder))
        word, seconds = tree.run(None, room.tests, 600.0)
        if word != "survived":
            raise SystemExit(f"the tests fail without a mutant:\n{(tree.folder / 'log').read_text()[-2000:]}")
        for number, mutant in enumerate(drawn, 1):
            if (word := seen.get(_fault(mutant), "")) == "":
                tests = mirrored_first(mutant, room, tree.folder)
                word, took = tree.run(mutant, tests, LEAST_SECONDS + 5 * seconds)
                print(f"{number}/{len(drawn)} {word} ({took:.1f} s) {mutant.line}: {mutant.name}", flush=True)
                with path.open("a") as lines:
                    lines.write(json.dumps([*_fault(mutant), word]) + "\n")
            rows.append((mutant, word))
    return summary(rows, reasons) | {"of": every, "tests": list(room.tests)}


def _fault(mutant: Mutant) -> tuple[str, str]:
    """What it is known by: its name, and a digest of its file, which a change of any line changes."""
    return mutant.name, hashlib.sha256(mutant.source.encode()).hexdigest()[:16]


def seen_before(path: Path) -> dict[tuple[str, str], str]:
    """What became of the mutants that runs before this one came to."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {(name, digest): word for name, digest, word in map(json.loads, lines)}


def mirrored_first(mutant: Mutant, room: Room, folder: Path) -> tuple[str, ...]:
    """The room's tests, with the file that mirrors the mutant's in front, also where it is left out for other files: it
    finds most of them, and then the rest is not run. `folder`: the copy that tests run in; the tree that it was made
    from may have got a test since, and a test file that is missing would count as one that fails."""
    file = Path(mutant.file)
    mirror = Path("tests", *file.parts[1:-1], f"test_{file.stem}.py")
    if not (folder / mirror).exists():
        return room.tests
    return (str(mirror), *(one for one in room.tests if one != f"--ignore={mirror}"))


def summary(rows: list[tuple[Mutant, str]], reasons: dict[str, str]) -> dict[str, Any]:
    """Counts of a room and of each file, and the survivors; those with a reason do not count."""
    survivors = [mutant for mutant, word in rows if word == "survived"]
    counted = [(mutant, word) for mutant, word in rows if word != "survived" or mutant.name not in reasons]
    files: dict[str, list[int]] = {}
    for mutant, word in counted:
        file = files.setdefault(mutant.file, [0, 0])
        file[0] += word != "survived"
        file[1] += 1
    killed = sum(word != "survived" for _, word in counted)
    return {
        "score": round(killed / max(len(counted), 1), 3),
        "drawn": len(rows),
        "counted": len(counted),
        "killed": killed,
        "timed out": sum(word == "timed out" for _, word in rows),
        "killed of counted, by file": {file: f"{one} of {all_}" for file, (one, all_) in files.items()},
        "survivors": [
            {"name": one.name, "line": one.line, "kind": one.kind} for one in survivors if one.name not in reasons
        ],
        "explained": sum(one.name in reasons for one in survivors),
    }


if __name__ == "__main__":
    sys.exit(main())
