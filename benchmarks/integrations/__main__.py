"""The driver: each cell in processes of its own, what it finds written at once, and all of it compared."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.integrations import __doc__ as about
from benchmarks.integrations.page import write_page
from benchmarks.integrations.results import COMPARED, LIBRARIES, PARTS, Row, faults, read
from benchmarks.machine import commit, described, mib, write

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "integrations.json"


def cell(size: str, library: str, hooked: bool, steps: int, evaluate: int) -> Row:
    """The row of one library, hooked or eager: the whole training, and its second half in another process."""
    mode = "hooked" if hooked else "eager"
    row: Row = {"size": size, "library": library, "mode": mode, "steps": steps, "evaluate": evaluate}
    row |= {"sources": sources(), "commit": commit()}
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="roam-integrations-") as folder:
        for part in PARTS:
            words = [library, mode, size, str(steps), str(evaluate), folder, part]
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.integrations", "--child", *words]
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "ROAM_CACHE": f"{folder}/plans"}
            done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
            if done.returncode:
                said = (done.stderr or f"exit status {done.returncode}").strip()
                row["error"] = f"{part}: {said.splitlines()[-1]}"
                print(said[-2000:], file=sys.stderr)
                break
            row[part] = json.loads(done.stdout.splitlines()[-1])
    return {**row, "seconds": round(time.perf_counter() - began, 1)}


def child(words: list[str]) -> None:
    """Run one training in this process and print what it leaves, as JSON."""
    from benchmarks.integrations import loops, trainers  # noqa: F401  # they register themselves
    from benchmarks.integrations.setting import SCRIPTS, SIZES, Record, Run

    library, mode, size, steps, evaluate, folder, part = words
    run = Run(library, mode == "hooked", SIZES[size], int(steps), int(evaluate), Path(folder), part == "resumed")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # the row stands alone on standard output
    row = SCRIPTS[library](run, Record())
    row["peak_bytes"] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"\n{json.dumps(row)}", file=answers, flush=True)


def sources() -> str:
    """A digest of the package's code and of these scripts: rows of another are made again."""
    digest = hashlib.sha256()
    for folder in (ROOT / "roam_lab", Path(__file__).parent):
        for file in sorted(folder.rglob("*.py")):
            if file.name not in ("page.py", "results.py", "__main__.py") or folder.name == "roam_lab":
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def main(words: list[str] | None = None) -> int:
    """Run what is asked for; 1 where a cell failed, or hooked and eager differ."""
    parser = argparse.ArgumentParser("python -m benchmarks.integrations", description=about)
    parser.add_argument("--size", choices=("tiny", "124m"), default="tiny")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--evaluate", type=int, default=50, help="steps between evaluations")
    parser.add_argument("--libraries", default=",".join(LIBRARIES), help="these alone, such as trainer,lightning")
    parser.add_argument("--again", action="store_true", help="cells that are in the results, too")
    parser.add_argument(
        "--page", action="store_true", help="write docs/integrations.md from the results and run nothing"
    )
    parser.add_argument("-o", "--output", default=str(RESULTS))
    parser.add_argument("--child", nargs=7, help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    if asked.child:
        child(asked.child)
        return 0
    if asked.page:
        write_page(read(asked.output))
        return 0
    libraries = asked.libraries.split(",")
    if unknown := set(libraries) - {*LIBRARIES}:
        parser.error(f"--libraries: there is no {sorted(unknown)[0]!r}; choose from {', '.join(LIBRARIES)}")
    if asked.steps < 4 or asked.steps % 2:
        parser.error(f"--steps: {asked.steps}; an even number from 4 on has a middle")
    rows = read(asked.output)
    for library in libraries:
        for hooked in (False, True):
            key = (asked.size, library, "hooked" if hooked else "eager")
            known = rows.get(key, {})
            fresh = all(known.get(name) == value for name, value in
                        (("sources", sources()), ("steps", asked.steps), ("evaluate", asked.evaluate)))  # fmt: skip
            if not asked.again and fresh and "error" not in known:
                continue
            rows[key] = row = cell(asked.size, library, hooked, asked.steps, asked.evaluate)
            write(asked.output, json.dumps({**described(), "rows": list(rows.values())}, indent=1), quiet=True)
            _tell(row)
    asked_for = [row for row in rows.values() if row["size"] == asked.size and row["library"] in libraries]
    told = faults(asked_for)
    print(*told or [f"hooked as eager: {', '.join(COMPARED)}"], sep="\n")
    return 1 if told else 0


def _tell(row: Row) -> None:
    name = f"{row['size']} {row['library']} {row['mode']}"
    if "error" in row:
        print(f"{row['seconds']:7.1f} s  {name}: {row['error']}", flush=True)
        return
    whole = row["whole"]
    print(f"{row['seconds']:7.1f} s  {name}: loss {whole['losses'][-1]:.4f}, {whole['planned_steps']} planned, "
          f"{whole['eager_steps']} eager, {mib(whole['peak_bytes'])} MiB, "
          f"{1000 * whole['median_step_seconds']:.1f} ms a step", flush=True)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
