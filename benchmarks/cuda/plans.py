"""Plans in a folder: made where the planner's packages are, carried to where they are not, and run by the hook.

Beside NAME.roam.json stands NAME.json: what is known of the step before it runs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import roam_lab as roam
from benchmarks.cuda.child import Cell
from benchmarks.cuda.device import NotPossible
from benchmarks.cuda.models import Training
from roam_lab.errors import MismatchError
from roam_lab.ir import write_text
from roam_lab.plan import Plan, Profile
from roam_lab.report.rows import profile_data
from roam_lab.runtime import PlannedStep, hook


def captured(training: Training, name: str = "step") -> Profile:
    """The step, captured and not measured."""
    return roam.profile(
        training.model, training.batch, training.optimizer, step=training.step, fake=True, name=name
    )  # fmt: skip


def planned(profile: Profile) -> Plan:
    """The plan of a captured step. Raises NotPossible where a package of the planner's is missing."""
    try:
        return profile.plan()
    except ModuleNotFoundError as error:
        raise NotPossible(
            f"no plan: {error.name} is not installed here; make the plans where it is, and carry them with --plans"
        ) from None


def plan_path(cell: Cell, name: str) -> Path:
    """Where the plan of a step is, or will be."""
    return cell.plans / f"{name}.roam.json"


def known(cell: Cell, name: str) -> dict[str, Any] | None:
    """What was written down when a plan was made; None where there is none."""
    facts = cell.plans / f"{name}.json"
    if not (facts.exists() and plan_path(cell, name).exists()):
        return None
    found: dict[str, Any] = json.loads(facts.read_text(encoding="utf-8"))
    return found


def make(cell: Cell, name: str, training: Training) -> dict[str, Any]:
    """Capture and plan, and write plan and facts; returns the facts. Raises NotPossible without the packages."""
    began = time.perf_counter()
    profile = captured(training, name)
    capture_seconds = time.perf_counter() - began
    plan, told = planned(profile), profile_data(profile)
    simulated = told["eager_reservation_bytes"] + told.get("cublas_workspace_bytes", 0)
    facts = {
        "made_on": cell.device,
        "ops": len(plan.order),
        "resident_bytes": profile.resident_bytes,
        "captured_peak_bytes": plan.captured_peak_bytes,
        "peak_bytes": plan.peak_bytes,
        "lower_bound_bytes": plan.lower_bound_bytes,
        "arena_bytes": plan.arena_bytes,
        "simulated_eager_bytes": profile.resident_bytes + simulated,
        "capture_seconds": round(capture_seconds, 2),
        "plan_seconds": round(plan.seconds, 2),
    }
    cell.plans.mkdir(parents=True, exist_ok=True)
    plan.save(plan_path(cell, name))
    write_text(cell.plans / f"{name}.json", json.dumps(facts))
    return facts


def hooked(cell: Cell, name: str, training: Training, **options: Any) -> tuple[PlannedStep, str]:
    """The planned step, prepared, and where its plan is from: "carried", or why it was made anew.

    Raises NotPossible where there is none and none can be made.
    """
    told = "carried"
    if known(cell, name) is None:
        make(cell, name, training)
        told = "made here"
    try:
        return _prepared(cell, name, training, options), told
    except MismatchError as error:
        make(cell, name, training)
        return _prepared(cell, name, training, options), f"made here, as the one carried did not fit: {error}"


def planned_step(cell: Cell, name: str, training: Training) -> Callable[[], Any]:
    """`hooked`, bound to its batch."""
    step, _ = hooked(cell, name, training)
    return lambda: step(training.batch)


def _prepared(cell: Cell, name: str, training: Training, options: dict[str, Any]) -> PlannedStep:
    step = hook(
        plan_path(cell, name), training.model, training.optimizer,
        step=training.step, on_mismatch="error", check="never", **options,
    )  # fmt: skip
    step.prepare(training.batch)
    return step
