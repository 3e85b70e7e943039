"""Every model's outcome: `python -m tests.coverage.run`, or `make coverage-of-models`.

Rows are written as they come (JSON lines, under build/): interrupt it and run it again, and only models are run whose
row is missing or made by other code. When all rows are there, they become benchmarks/results/coverage.json and
docs/coverage.md.
Exit status 1 when a model is a fault.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.metadata
import json
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from tests.coverage import guarded, page
from tests.coverage.outcome import FAULTS, outcome_of
from tests.coverage.registry import Entry, entries

ROOT = Path(__file__).resolve().parents[2]
ROWS = ROOT / "build" / "coverage.jsonl"
MODELS = ROOT / "tests" / "coverage" / "models"
HELPERS = ("noise", "pictures", "plain_parts", "plain_readers", "plain_small", "tiny")
LIMIT_SECONDS = 240
PACKAGES = ("torch", "transformers", "diffusers")
PRELOADED = (
    "transformers",
    "transformers.models.bart.modeling_bart",
    "transformers.models.llama.modeling_llama",
    "diffusers.models.unets.unet_2d_condition",
    "diffusers",
    "roam_lab.app.session",
    "roam_lab.plan.planner",
    "roam_lab.runtime.hook",
    "ortools.sat.python.cp_model",
    "ortools.graph.python.min_cost_flow",
    "numba",
    "sympy",
)
"""Imported once, before a process is forked for each model."""


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.coverage.run", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these alone, with details; nothing is written")
    parser.add_argument("--ci", action="store_true", help="those of the ordinary tests alone; nothing is written")
    parser.add_argument("--family", nargs="+", help="models of these families alone; nothing is written")
    parser.add_argument("--workers", type=int, default=2, metavar="N")
    parser.add_argument("--again", action="store_true", help="forget the rows of earlier runs")
    parser.add_argument("--rows", type=Path, default=ROWS, help="default: build/coverage.jsonl")
    given = parser.parse_args(arguments)
    _quiet()
    known = entries()
    unknown = sorted(set(given.only or ()) - set(known))
    if unknown:
        parser.error(f"no model is called {', '.join(unknown)}")
    chosen = [entry for entry in known.values() if _chosen(entry, given)]
    if given.only or given.ci or given.family:
        rows = list(_run(chosen, given.workers, details=bool(given.only)))
        return _summary(rows)
    if given.again:
        given.rows.unlink(missing_ok=True)
    rows = _resume(chosen, given.rows, given.workers)
    page.write_results(rows)
    return _summary(rows)


def _chosen(entry: Entry, given: argparse.Namespace) -> bool:
    return (
        (not given.only or entry.name in given.only)
        and (not given.ci or entry.ci)
        and (not given.family or entry.family in given.family)
    )


def _quiet() -> None:
    """One thread, no warnings of the models, everything imported that all processes need."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    for name in PRELOADED:
        importlib.import_module(name)
    importlib.import_module("transformers.utils.logging").set_verbosity_error()
    importlib.import_module("diffusers.utils.logging").set_verbosity_error()


def _resume(chosen: list[Entry], path: Path, workers: int) -> list[dict[str, Any]]:
    """Run what `path` does not hold yet. Returns all rows in the registry's order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    held: dict[str, dict[str, Any]] = {}
    if path.exists():
        for line in path.read_text().splitlines():
            row = json.loads(line)
            held[row["name"]] = row
    rows = {entry.name: held[entry.name] for entry in chosen if held.get(entry.name, {}).get("key") == _key(entry)}
    with path.open("a") as file:
        for row in _run([entry for entry in chosen if entry.name not in rows], workers):
            rows[row["name"]] = row
            file.write(json.dumps(row) + "\n")
            file.flush()
    return [rows[entry.name] for entry in chosen]


def _run(chosen: list[Entry], workers: int, details: bool = False) -> Any:
    """Yields rows as they come, and prints a line for each."""
    by_name = {entry.name: entry for entry in chosen}
    keys = {entry.name: _key(entry) for entry in chosen}  # now: the files may be edited while models run
    jobs = [(entry.name, _job(entry, details)) for entry in chosen]
    for done, (name, result, seconds) in enumerate(guarded.run_guarded(jobs, workers, LIMIT_SECONDS), 1):
        entry = by_name[name]
        if "ended" in result:
            result = {"word": "traceback", "reason": result["ended"]}
        row = {"name": name, "source": entry.source, "family": entry.family, "key": keys[name]}
        row |= {**result, "seconds": round(seconds, 1)}
        print(f"{done:4}/{len(chosen)} {name}: {row['word']} ({seconds:.1f} s) {row['reason']}", flush=True)
        if details and row.get("details"):
            print(row.pop("details"))
        yield row


def _job(entry: Entry, details: bool) -> Any:
    def job() -> dict[str, Any]:
        outcome = outcome_of(entry.build)
        return outcome.row() | ({"details": outcome.details} if details else {})

    return job


def _key(entry: Entry) -> str:
    """A digest of all that a row depends on: our code, the model's file, the packages' versions."""
    digest = hashlib.sha256(_code().encode())
    digest.update((MODELS / f"{entry.source}.py").read_bytes())
    return digest.hexdigest()[:16]


def _code() -> str:
    if not _CODE:
        digest = hashlib.sha256(repr([(name, importlib.metadata.version(name)) for name in PACKAGES]).encode())
        files = [file for file in sorted((ROOT / "roam_lab").rglob("*.py")) if not {"lab", "report"} & set(file.parts)]
        files += [ROOT / "tests" / "coverage" / name for name in ("outcome.py", "snapshot.py")]
        for file in [*files, *(MODELS / f"{name}.py" for name in HELPERS)]:
            digest.update(file.read_bytes())
        _CODE.append(digest.hexdigest())
    return _CODE[0]


_CODE: list[str] = []


def _summary(rows: list[dict[str, Any]]) -> int:
    """Print counts and faults; the exit status."""
    counts = Counter(row["word"] for row in rows)
    trained = len(rows) - counts["not trainable"]
    print(f"\n{len(rows)} models, {trained} of them train eagerly:", dict(counts))
    faults = [row for row in rows if row["word"] in FAULTS]
    for row in faults:
        print(f"FAULT {row['name']}: {row['word']}: {row['reason']}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
