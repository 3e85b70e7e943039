"""Is the planned step the eager step, bit for bit, and what does it save: asked of fresh processes, or of copies."""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from roam_lab.capture.snapshot import RandomState
from roam_lab.capture.step import LossFunction, StepFunction
from roam_lab.errors import InputError
from roam_lab.interrupt import held
from roam_lab.ir import read_json
from roam_lab.progress import Progress, silent
from roam_lab.runtime.identity import digest, digests, first_differences, named_values, told_difference
from roam_lab.runtime.measured_run import RunFigures, measured_run
from roam_lab.runtime.processes import FreshProcesses
from roam_lab.runtime.verification import Verification
from roam_lab.runtime.verify_child import bind_eager, bind_planned, check_device


def verify_file(
    factory: str,
    plan: Any = None,
    *,
    steps: int = 4,
    seed: int = 0,
    device: str = "cpu",
    scheduler: bool = False,
    pairs: int = 0,
    plan_options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Run `factory` ("FILE.py:FACTORY") eagerly and planned, each in its own fresh process from the same seed.

    `plan` is a Plan, the path of one, or None: then one is made first, with `plan_options` (arguments of
    `Profile.plan`), in a process of its own, so that planning's memory is in neither run. `scheduler` multiplies the
    learning rates by 0.9 after every step. `pairs` > 0 also runs that many pairs of steps in turn, in one more
    process, for a step-time ratio that load on the machine cannot bend. On CUDA deterministic algorithms are used.
    `progress(stage, fraction)` is called as stages begin.

    Raises InputError, DeviceError, CaptureError, MismatchError; RoamError when a run raises or dies.
    """
    _check_steps(steps)
    check_device(device)
    tell = progress or (lambda stage, fraction: None)
    with tempfile.TemporaryDirectory(prefix="roam-verify-") as folder:
        request = {
            "factory": factory,
            "device": device,
            "seed": seed,
            "steps": steps,
            "scheduler": scheduler,
            "plan_options": dict(plan_options or {}),
        }
        runs = FreshProcesses(request, Path(folder))
        if plan is None:
            tell("capture and plan", 0.0)
            runs.request["plan"] = str(Path(folder) / "plan.roam.json")
            runs.run("plan")
        elif isinstance(plan, str | os.PathLike):
            runs.request["plan"] = os.fspath(plan)
        else:
            runs.request["plan"] = str(Path(folder) / "plan.roam.json")
            plan.save(runs.request["plan"])
        arena = read_json(runs.request["plan"]).get("arena_bytes")
        tell("eager run", 0.25)
        eager = runs.run("eager")
        tell("planned run", 0.5)
        planned = runs.run("planned")
        ratio = None
        if pairs:
            tell("paired runs", 0.75)
            ratio = float(runs.run("paired", steps=pairs)["ratio"])
        differences = first_differences(eager["digests"], planned["digests"], runs.amount)
        return Verification(
            identical=not differences,
            differences=differences,
            steps=steps,
            device=device,
            eager=RunFigures.from_data(eager["figures"]),
            planned=RunFigures.from_data(planned["figures"]),
            arena_bytes=arena,
            paired_step_ratio=ratio,
        )


def verify(
    plan: Any,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Any,
    loss: LossFunction | torch.nn.Module | None = None,
    step: StepFunction | None = None,
    steps: int = 4,
    scheduler: bool = False,
    progress: Progress = silent,
) -> Verification:
    """The same inside a notebook: eager and planned on two deep copies, from the present random state.

    Model, optimizer and random state are left as they were. Peaks are those of this process, one run after the other:
    `verify_file` measures them cleaner. Needs memory for two more copies of model and optimizer.
    Raises InputError, CaptureError, MismatchError.
    """
    _check_steps(steps)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    found: list[tuple[RunFigures, dict[str, str], dict[str, Any]]] = []
    with _left_alone() as start:
        for planned in (False, True):
            twin, twin_optimizer = copied(model, optimizer)
            made = {"model": twin, "optimizer": twin_optimizer, "batch": batch, "loss": loss, "step": step}
            start.restore()
            bound = bind_planned(made, plan) if planned else bind_eager(made)
            figures, losses = measured_run(
                bound, twin_optimizer, batch, steps=steps, scheduler=scheduler, device=device, progress=progress
            )
            values = {f"loss of step {index + 1}": value for index, value in enumerate(losses)}
            names = {name: digest(value) for name, value in values.items()} | digests(twin, twin_optimizer)
            found.append((figures, names, values | dict(named_values(twin, twin_optimizer))))
    (eager, left, left_values), (planned_figures, right, right_values) = found
    differences = first_differences(left, right, lambda name: told_difference(left_values[name], right_values[name]))
    return Verification(
        identical=not differences,
        differences=differences,
        steps=steps,
        device=str(device),
        eager=eager,
        planned=planned_figures,
        arena_bytes=_arena_bytes(plan),
    )


def measure_plan(
    plan: Any,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Any,
    loss: LossFunction | torch.nn.Module | None = None,
    step: StepFunction | None = None,
    steps: int = 4,
    progress: Progress = silent,
) -> RunFigures:
    """What `steps` planned steps take, on deep copies; model, optimizer and random state are left as they were.

    Raises InputError, CaptureError, MismatchError.
    """
    _check_steps(steps)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    with _left_alone():
        twin, twin_optimizer = copied(model, optimizer)
        made = {"model": twin, "optimizer": twin_optimizer, "batch": batch, "loss": loss, "step": step}
        bound = bind_planned(made, plan)
        return measured_run(bound, twin_optimizer, batch, steps=steps, device=device, progress=progress)[0]


@contextmanager
def _left_alone() -> Iterator[RandomState]:
    """Random state and grad mode are as they were afterwards, also where an interrupt has cut a step short."""
    start, grad = RandomState(), torch.is_grad_enabled()
    try:
        yield start
    finally:
        with held():
            start.restore()
            torch.set_grad_enabled(grad)


def copied(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """Deep copies of both, the optimizer's bound to the copied parameters. Raises InputError if they have no copy."""
    memo: dict[int, Any] = {}
    try:
        twin, twin_optimizer = copy.deepcopy((model, optimizer), memo)
        for key, value in vars(optimizer).items():  # Optimizer pickles its groups and state only
            if key not in vars(twin_optimizer) and key != "step":
                setattr(twin_optimizer, key, copy.deepcopy(value, memo))
    except Exception as error:
        raise InputError(
            f"{type(model).__name__} cannot be copied ({type(error).__name__}: {str(error)[:200]}); "
            "verify it from a file: roam verify FILE.py:FACTORY"
        ) from None
    return twin, twin_optimizer


def _arena_bytes(plan: Any) -> int | None:
    if isinstance(plan, str | os.PathLike):
        return read_json(plan).get("arena_bytes")
    return getattr(plan, "arena_bytes", None)


def _check_steps(steps: int) -> None:
    if steps < 2:
        raise InputError(f"steps is {steps}; verification needs at least 2: the first makes optimizer state")
