"""Stage 4: four steps of one run (eager, eager again, planned) in a process of its own: bits and peaks.

Bits are compared by the planned run, with what the eager ones left in the folder for work. Where both eager runs
differ, the driver asks for runs with deterministic algorithms.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.cuda import plans
from benchmarks.cuda.child import Cell
from benchmarks.cuda.device import NO_BITS, peaks, start_measuring
from benchmarks.cuda.first_difference import first_difference
from benchmarks.cuda.jobs import DETERMINISTIC, name_of
from benchmarks.cuda.models import training
from roam_lab.ir import write_text
from roam_lab.runtime.identity import Digests, digest, digests, first_differences
from roam_lab.runtime.measured_run import decay_learning_rates

COUNT = 4


def run(cell: Cell) -> None:
    """One part, called as the run; a planned run that differs has a second, the first operator that does."""
    kind = cell.settings["run"]
    if cell.settings.get(DETERMINISTIC):
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    differs = False
    with cell.part(kind) as line:
        found, figures = _four_steps(cell, kind)
        line |= figures
        write_text(_kept(cell, kind), json.dumps(found))
        if kind == "planned":
            line |= _against_eager(cell, found)
            differs = line.get("status") == "differs"
    if differs or (cell.fake and kind == "planned"):
        with cell.part("first difference") as line:
            line |= _first_difference(cell)


def _four_steps(cell: Cell, kind: str) -> tuple[Digests, dict[str, Any]]:
    made = training(cell.settings)
    figures: dict[str, Any] = {"weights_bytes": torch.cuda.memory_allocated()}
    if kind == "planned":
        hooked, figures["plan"] = plans.hooked(cell, name_of(cell.settings), made)
    torch.manual_seed(2)
    start_measuring()
    found: Digests = {}
    for index in range(COUNT):
        loss = hooked(made.batch) if kind == "planned" else made.run()
        found[f"loss {index + 1}"] = digest(loss)
        decay_learning_rates(made.optimizer)
    figures |= peaks()
    if kind == "planned":
        figures |= {"planned_steps": hooked.planned_steps, "reasons": hooked.reasons}
    found |= digests(made.model, made.optimizer)
    return found | {"random state of the device": digest(torch.cuda.get_rng_state())}, figures


def _kept(cell: Cell, kind: str) -> Path:
    flag = DETERMINISTIC if cell.settings.get(DETERMINISTIC) else ""
    return cell.work / f"digests {name_of(cell.settings)} {flag} {kind}.json"


def _against_eager(cell: Cell, planned: Digests) -> dict[str, Any]:
    kinds = ["eager"] if cell.settings.get(DETERMINISTIC) else ["eager", "eager again"]
    kept = [_kept(cell, kind) for kind in kinds]
    if missing := [path.name for path in kept if not path.exists()]:
        return {"status": "failed", "reason": f"nothing to compare with: {missing[0]} was not written"}
    if cell.fake:
        return {"repeatable": None, "identical": None, "bits": NO_BITS}
    eager = [json.loads(path.read_text(encoding="utf-8")) for path in kept]
    if eager[0] != eager[-1]:
        return {"repeatable": False, "identical": None, "bits": "eager itself differs from run to run"}
    differences = list(first_differences(eager[0], planned))
    return {"repeatable": True, "identical": not differences, "differences": differences,
            "status": "differs" if differences else "done"}  # fmt: skip


def _first_difference(cell: Cell) -> dict[str, Any]:
    def planned() -> Callable[[], Any]:
        return plans.planned_step(cell, name_of(cell.settings), training(cell.settings))

    return first_difference(lambda: training(cell.settings).run, planned, cell.fake)
