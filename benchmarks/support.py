"""Which torch, on which Python, keeps the promise: the tests of one environment as a result file, all files as a page.

    python benchmarks/support.py run identity|torch|all [--packages NAME] [PYTEST ARGUMENTS]
    python benchmarks/support.py page
    python benchmarks/support.py lowest

`run` is run by the environment's own Python and writes benchmarks/results/support/*.json, one file an environment;
`page` writes docs/support.md from all of them; `lowest` prints constraints: every dependency at its lower bound.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from machine import described, write

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "support"
PAGE = ROOT / "docs" / "support.md"
IDENTITY = "tests/runtime/test_identity.py"
SUITES = ("identity", "torch", "all")
PACKAGES = ("pinned", "newest", "lowest")
"""Of everything but torch: what constraints.txt says, the newest that pip finds, the lower bounds of pyproject.toml."""

HEAD = """# Support

<!-- written by `make support` from benchmarks/results/support: run it again, do not edit -->

roam-lab asks for Python {python} and torch {torch}. What its tests say in environments of their own, on CPU:
*identity* are the tests that compare planned steps with eager ones bit for bit; *others* are all other tests that
import torch. `make test-torch TORCH=VERSION` runs both in one of them, `make support` the identity tests in all.
"""


class Recorder:
    """A pytest plugin: how every test ended, and the first line of what failed."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}
        self.failures: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A test's setup, call or teardown ended."""
        if report.when == "call" or not report.passed:
            self._note(report)

    def pytest_collectreport(self, report: Any) -> None:
        """A file was read; one that cannot be imported is a failure."""
        if report.failed:
            self._note(report)

    def _note(self, report: Any) -> None:
        if self.outcomes.get(report.nodeid) != "failed":  # a teardown does not mend what its test broke
            self.outcomes[report.nodeid] = report.outcome
        if report.failed:
            self.failures.setdefault(report.nodeid, _reason(report))

    def files(self) -> dict[str, dict[str, int]]:
        """Counts of passed, failed and skipped, by file."""
        counts: dict[str, dict[str, int]] = {}
        for name, outcome in self.outcomes.items():
            of_file = counts.setdefault(name.partition("::")[0], {"passed": 0, "failed": 0, "skipped": 0})
            of_file[outcome] += 1
        return dict(sorted(counts.items()))


def _reason(report: Any) -> str:
    """The exception's own line; of an import that failed, its last."""
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = (crash.message if crash else str(report.longrepr)).strip().splitlines() or ["no message"]
    return (lines[0] if crash else lines[-1]).removeprefix("E   ").strip()[:200]


def torch_tests(root: Path = ROOT) -> list[str]:
    """The test files that import torch, or the models of tests/zoo.py; the identity tests come first."""
    pattern = re.compile(r"^\s*(import torch|from torch|from tests\.zoo)\b", re.MULTILINE)
    found = [str(path.relative_to(root)) for path in sorted((root / "tests").rglob("test_*.py"))
             if pattern.search(path.read_text(encoding="utf-8"))]  # fmt: skip
    return sorted(found, key=lambda path: path != IDENTITY)


def run(suite: str, packages: str, arguments: list[str], results: Path) -> int:
    """Run a suite here, with pytest's `arguments`, and write the result file; returns pytest's exit status."""
    import pytest
    import torch

    paths = {"identity": [IDENTITY], "torch": torch_tests(), "all": ["tests"]}[suite]
    os.environ["ROAM_SLOW_TESTS"] = "1"  # what `make test` leaves out, too
    recorder, began = Recorder(), time.perf_counter()
    status = int(pytest.main([*paths, "--continue-on-collection-errors", *arguments], plugins=[recorder]))
    if status > 1 or not recorder.outcomes:
        print(f"support.py: pytest ended with status {status}; no result is written", file=sys.stderr)
        return status or 1
    data = {
        **described(),
        "torch": torch.__version__,
        "packages": packages,
        "suite": suite,
        "seconds": round(time.perf_counter() - began),
        "files": recorder.files(),
        "failures": dict(sorted(recorder.failures.items())),
    }
    write(str(results / result_name(data)), json.dumps(data, indent=1))
    return status


def result_name(data: Mapping[str, Any]) -> str:
    """The result file of an environment: a later run of the same one takes its place."""
    torch, python = data["torch"].partition("+")[0], data["versions"]["python"].rpartition(".")[0]
    maker = re.search(r"amd|intel|apple|arm", data["machine"]["processor"].lower())
    return f"torch-{torch}-{data['packages']}-python-{python}-{maker[0] if maker else 'other'}.json"


def page(results: Iterable[Mapping[str, Any]], project: Mapping[str, Any]) -> str:
    """The whole page, from result files and the `project` table of pyproject.toml."""
    asked = dict(map(_bound, project["dependencies"]))
    rows = sorted(results, key=lambda data: (_numbers(data["torch"]), PACKAGES.index(data["packages"])))
    lines = [
        "| torch | Python | other packages | processor | identity | others | run |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(_cells(data))} |" for data in rows]
    parts = [HEAD.format(python=project["requires-python"], torch=asked["torch"])]
    parts.append("\n".join(lines) if rows else "Nothing has been run yet.")
    for data in rows:
        if data["failures"]:
            told = "\n".join(f"- `{name}`: {_plain(reason)}" for name, reason in data["failures"].items())
            parts.append(f"### What fails with torch {data['torch']}, {data['packages']} packages\n\n{told}")
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _cells(data: Mapping[str, Any]) -> Iterable[str]:
    identity = [counts for file, counts in data["files"].items() if file == IDENTITY]
    others = [counts for file, counts in data["files"].items() if file != IDENTITY]
    processor = re.sub(r"\s*(\d+-Core )?Processor.*|\(R\)|\(TM\)|@.*", "", data["machine"]["processor"]).strip()
    when = f"{data['date'][:10]}, {data['commit']}"
    return data["torch"], data["versions"]["python"], data["packages"], processor, _told(identity), _told(others), when


def _told(counts: list[Mapping[str, int]]) -> str:
    """Counts of some files as one cell."""
    if not counts:
        return "not run"
    passed, failed, skipped = (sum(entry[key] for entry in counts) for key in ("passed", "failed", "skipped"))
    verdict = f"**{failed} fail**, {passed} pass" if failed else f"all {passed} pass"
    return f"{verdict}, {skipped} skipped" if skipped else verdict


def _plain(text: str) -> str:
    """Text that Markdown leaves alone."""
    return re.sub(r"([\\`*_<>\[\]|])", r"\\\1", text)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version.partition("+")[0])))


def _bound(requirement: str) -> tuple[str, str]:
    """Name and bounds of a requirement, extras left out."""
    found = re.match(r"([\w.-]+)(?:\[[^]]*\])?\s*(.*)", requirement)
    assert found, requirement
    return found[1], found[2]


def lowest(project: Mapping[str, Any]) -> str:
    """Constraints that hold every dependency, optional ones too, at its lower bound."""
    wanted = [
        *project["dependencies"],
        *(entry for extra in project["optional-dependencies"].values() for entry in extra),
    ]
    bounds = dict(map(_bound, wanted))
    lows = {name: re.search(r">=\s*([\w.]+)", bound) for name, bound in bounds.items()}
    return "".join(f"{name}=={low[1]}\n" for name, low in sorted(lows.items()) if low)


def main(words: list[str] | None = None) -> int:
    """Run one action; arguments that are not ours go to pytest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    running = actions.add_parser("run", help="run a suite in this environment")
    running.add_argument("suite", choices=SUITES)
    running.add_argument("--packages", choices=PACKAGES, default="pinned")
    running.add_argument("--results", type=Path, default=RESULTS)
    actions.add_parser("page", help="write docs/support.md")
    actions.add_parser("lowest", help="print constraints of the lower bounds")
    given, rest = parser.parse_known_args(words)
    if given.action == "run":
        return run(given.suite, given.packages, rest, given.results)
    if rest:
        parser.error(f"unknown arguments: {' '.join(rest)}")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    if given.action == "lowest":
        print(lowest(project), end="")
        return 0
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    write(str(PAGE), page(found, project).rstrip("\n"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
