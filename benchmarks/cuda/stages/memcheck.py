"""Stage 9: one tiny planned step under compute-sanitizer's memcheck, where that is found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.cuda import plans
from benchmarks.cuda.child import Cell
from benchmarks.cuda.device import NotPossible
from benchmarks.cuda.jobs import name_of
from benchmarks.cuda.models import training

PLACES = ("/usr/local/cuda/bin", "/usr/local/cuda/compute-sanitizer")
LIMIT_SECONDS = 200


def run(cell: Cell) -> None:
    """One part; the checked process runs this very stage with `inside`, and no checker."""
    if cell.settings.get("inside"):
        made = training(cell.settings)
        hooked, _ = plans.hooked(cell, name_of(cell.settings), made)
        hooked(made.batch)
        return
    with cell.part("memcheck") as line:
        plan = plans.known(cell, name_of(cell.settings)) or plans.make(
            cell, name_of(cell.settings), training(cell.settings)
        )
        if cell.fake:
            raise NotPossible("the fake device runs no kernels that could be checked")
        found = [shutil.which("compute-sanitizer", path=path) for path in (None, *PLACES)]
        checker = next(filter(None, found), None)
        if checker is None:
            raise NotPossible("compute-sanitizer is not found; it comes with the CUDA toolkit")
        line["ops"] = plan["ops"]
        line |= _checked(cell, checker)


def _checked(cell: Cell, checker: str) -> dict[str, object]:
    job = cell.work / "memcheck.json"
    places = {"work": str(cell.work), "plans": str(cell.plans), "results": str(cell.results)}
    asked = {"stage": cell.stage, "cell": cell.name, "device": cell.device, "skip": []}
    inner = {**asked, **places, "settings": {**cell.settings, "inside": True}}
    job.write_text(json.dumps(inner), encoding="utf-8")
    command = [checker, "--tool", "memcheck", "--error-exitcode", "9", sys.executable, "-m", "benchmarks.cuda.child"]
    done = subprocess.run(
        [*command, str(job)], capture_output=True, text=True, timeout=LIMIT_SECONDS, cwd=Path.cwd(), check=False
    )
    told = [line for line in done.stdout.splitlines() if line.startswith("=====")]
    return {
        "status": "done" if done.returncode == 0 else "failed",
        "summary": told[-1].strip("= ") if told else "",
        **({} if done.returncode == 0 else {"reason": f"exit status {done.returncode}", "first": told[1:8]}),
    }
