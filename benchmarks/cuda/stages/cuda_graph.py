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
        made = training(cell.settings)
        left = _left_by(plans.hooked(cell, name, made)[0], made)
        del made
        start_measuring()
        made = training(cell.settings)
        graphed, line["plan"] = plans.hooked(cell, name, made, executor=EXECUTOR)
        right = _left_by(graphed, made)
        line |= {**peaks(), **identical(lambda: left == right), **_told(graphed)}
        if line["identical"] is False:
            line["status"] = "differs"
    with cell.part("times") as line:
        made = training(cell.settings)
        step, _ = plans.hooked(cell, name, made, executor=EXECUTOR)
        line |= times(lambda: step(made.batch), 20, warm_up=STEPS)
        line |= _told(step)


def _left_by(step: PlannedStep, made: Any) -> Digests:
    torch.manual_seed(2)
    found = {f"loss {index}": digest(step(made.batch)) for index in range(STEPS)}
    return found | digests(made.model, made.optimizer)


def _told(step: PlannedStep) -> dict[str, Any]:
    """How the steps ran; `notes` say why they were no CUDA graph, if they were none, and what it holds."""
    return {"planned_steps": step.planned_steps, "reasons": step.reasons, "notes": list(step.notes)}
