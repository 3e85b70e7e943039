"""Stage 6: the planned step as a CUDA graph: bits over four replays, times, what its pool takes."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from benchmarks.cuda import plans
from benchmarks.cuda.child import Cell
from benchmarks.cuda.device import NotPossible, identical, peaks, start_measuring, times
from benchmarks.cuda.jobs import name_of
from benchmarks.cuda.models import training
from roam_lab.runtime import PlannedStep, hook
from roam_lab.runtime.identity import Digests, digest, digests

EXECUTOR = "cuda_graph"
STEPS = 8
"""Three warm-up steps, the capture, four replays."""


def run(cell: Cell) -> None:
    """Parts: bits, times."""
    if "executor" not in inspect.signature(hook).parameters:
        for part in ("bits", "times"):
            with cell.part(part):
                raise NotPossible("not built: roam.hook takes no executor")
        return
    name = name_of(cell.settings)
    with cell.part("bits") as line:
        first, second = training(cell.settings), training(cell.settings)
        python, _ = plans.hooked(cell, name, first)
        left = _left_by(python, first)
        start_measuring()
        graphed, line["plan"] = plans.hooked(cell, name, second, executor=EXECUTOR)
        right = _left_by(graphed, second)
        line |= {**peaks(), **identical(lambda: left == right), **_executor(graphed)}
        if line["identical"] is False:
            line["status"] = "differs"
    with cell.part("times") as line:
        made = training(cell.settings)
        step, _ = plans.hooked(cell, name, made, executor=EXECUTOR)
        line |= times(lambda: step(made.batch), 20, warm_up=STEPS)
        line |= _executor(step)


def _left_by(step: PlannedStep, made: Any) -> Digests:
    torch.manual_seed(2)
    found = {f"loss {index}": digest(step(made.batch)) for index in range(STEPS)}
    return found | digests(made.model, made.optimizer)


def _executor(step: PlannedStep) -> dict[str, Any]:
    """What kept the step from being a CUDA graph, if anything did: its figures are then the Python executor's."""
    notes = [note for note in getattr(step, "notes", []) if "CUDA graph" in note]
    told = {"graph": not notes, "reasons": step.reasons, "planned_steps": step.planned_steps}
    return {**told, "reason": "; ".join(notes)} if notes else told
