"""Jobs run as processes of their own, a few at a time; rows are written as they come and kept for the next run."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from machine import commit, described, write

ROOT = Path(__file__).resolve().parents[1]
PLANNING = ("ir", "order", "layout", "plan", "registry.py", "solvers")
SPARE_SECONDS = 120
"""Beyond both time limits: imports, compilation, reading, judging. A process that takes longer is killed."""


@dataclass(frozen=True)
class Job:
    """One strategy (pair) on one file. `name`: what the file is called in tables."""

    kind: str
    name: str
    file: str
    order: str | None
    layout: str
    time_limit: float | None = None
    node_limit: int | None = None
    leaves: str | None = None

    @property
    def key(self) -> str:
        """What makes two runs the same measurement."""
        parts = (
            self.kind,
            self.name,
            self.order,
            self.layout,
            self.time_limit,
            self.node_limit,
            *filter(None, [self.leaves]),
        )
        return "/".join("" if part is None else str(part) for part in parts)


def run_job(job: Job) -> dict[str, Any]:
    """The job's row: what one_run.py prints, with the whole process's seconds and peak resident bytes."""
    row: dict[str, Any] = {"key": job.key, **asdict(job), "commit": commit(), "sources": sources()}
    del row["file"]
    command = [sys.executable, str(ROOT / "benchmarks" / "one_run.py"), json.dumps(asdict(job))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    most = 2 * (job.time_limit or 600) + SPARE_SECONDS
    began = time.perf_counter()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as log:
        child = subprocess.Popen(command, stdout=out, stderr=log, env=environment)
        killer = threading.Timer(most, child.kill)
        killer.start()
        _, status, usage = os.wait4(child.pid, 0)
        killer.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
        row["process_seconds"] = round(time.perf_counter() - began, 3)
        row["peak_resident_bytes"] = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        for stream in (out, log):
            stream.seek(0)
        if child.returncode == 0:
            return {**row, **json.loads(out.read().splitlines()[-1])}
        said = log.read().decode(errors="replace").strip().splitlines()
    killed = f"killed after {most:.0f} s" if row["process_seconds"] >= most else f"exit status {child.returncode}"
    return {**row, "error": f"{killed}{f': {said[-1]}' if said else ''}"}


def sources() -> str:
    """A digest of the code that plans: rows of the same digest are still true."""
    digest = hashlib.sha256()
    for part in PLANNING:
        place = ROOT / "roam_lab" / part
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


class Results:
    """The rows of one JSON file, by key. Rows of other sources are dropped, unless `keep` says to keep them."""

    def __init__(self, path: str, keep: bool = False) -> None:
        self.path = path
        self.rows: dict[str, dict[str, Any]] = {}
        self.lock = threading.Lock()
        if Path(path).exists():
            known = json.loads(Path(path).read_text())["rows"]
            self.rows = {row["key"]: row for row in known if "key" in row and (keep or row["sources"] == sources())}

    def add(self, row: dict[str, Any]) -> None:
        """Add a row and write the file, so that an interrupted run loses nothing."""
        with self.lock:
            self.rows[row["key"]] = row
            write(self.path, json.dumps({**described(), "rows": list(self.rows.values())}, indent=1), quiet=True)


def run_all(jobs: Iterable[Job], results: Results, workers: int, after: Callable[[dict[str, Any]], None]) -> None:
    """Run what is not in `results` yet: quickest first, by what the same strategy took so far on anything."""
    waiting = [job for job in jobs if job.key not in results.rows]
    taken: dict[tuple[str | None, str], float] = {}
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if not waiting:
                    return
                job = min(
                    waiting, key=lambda job: (taken.get((job.order, job.layout), 0.0), Path(job.file).stat().st_size)
                )
                waiting.remove(job)
            row = run_job(job)
            with lock:
                pair = (job.order, job.layout)
                taken[pair] = max(taken.get(pair, 0.0), row["process_seconds"])
            results.add(row)
            after(row)

    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(work) for _ in range(workers)]:
            done.result()
