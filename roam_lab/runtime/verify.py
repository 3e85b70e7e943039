"""Verifying a plan: eager and planned runs are compared bit by bit and measured, in fresh processes or in this one."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from roam_lab.capture import OptimizerOrSeveral, TrainingStep, step_device
from roam_lab.capture.device import check_device, check_holds_data
from roam_lab.capture.factory import file_and_name
from roam_lab.capture.step import LossFunction, StepFunction
from roam_lab.errors import InputError, RoamWarning
from roam_lab.interrupt import held
from roam_lab.ir import read_json
from roam_lab.progress import Progress, silent
from roam_lab.runtime.everything import Everything, digests_now, tensors_now
from roam_lab.runtime.identity import Digests, digest_each, first_differences, results_named, told_difference
from roam_lab.runtime.measured_run import BoundStep, RunFigures, measured_run
from roam_lab.runtime.processes import FreshProcesses
from roam_lab.runtime.verification import Verification
from roam_lab.runtime.verify_child import bind_eager, bind_planned, training_step
from roam_lab.turns import turn


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
    process, for a step-time ratio that load on the machine cannot bend. Where eager differs from run to run (atomic
    additions on CUDA), bits are compared with deterministic algorithms; memory and times are those without.
    `progress(stage, fraction)` is called as stages begin.

    Raises InputError, DeviceError, CaptureError, MismatchError; RoamError when a run raises or dies.
    """
    _check_steps(steps)
    check_device(device)
    file_and_name(factory)  # a slip in its name is told before any process starts
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
        left, right = eager["digests"], planned["digests"]
        unrepeatable: tuple[str, ...] = ()
        if left != right:
            tell("eager run once more", 0.9)
            again = runs.run("eager")["digests"]
            unrepeatable = tuple(name for name in left if left[name] != again.get(name))
        if unrepeatable:
            left, right = _deterministic(runs, replan=plan is None)
        differences = first_differences(left, right, runs.amount)
        return Verification(
            identical=not differences,
            unrepeatable=unrepeatable,
            differences=differences,
            steps=steps,
            device=device,
            eager=RunFigures.from_data(eager["figures"]),
            planned=RunFigures.from_data(planned["figures"]),
            arena_bytes=arena,
            paired_step_ratio=ratio,
            reasons=planned["reasons"],
        )


def _deterministic(runs: FreshProcesses, *, replan: bool) -> tuple[Digests, Digests]:
    """The digests of an eager and a planned run with deterministic algorithms. `replan`: the step with these algorithms
    may be another one, for which a plan is made."""
    runs.request["deterministic"] = True
    if replan:
        runs.run("plan")
    return runs.run("eager")["digests"], runs.run("planned")["digests"]


def verify(
    plan: Any,
    model: torch.nn.Module,
    optimizer: OptimizerOrSeveral,
    batch: Any,
    loss: LossFunction | torch.nn.Module | None = None,
    step: StepFunction | None = None,
    steps: int = 4,
    scheduler: bool = False,
    progress: Progress = silent,
) -> Verification:
    """Run `steps` steps of `model` on `batch` eagerly, then by `plan`, and compare all that they leave bit by bit.

    `plan`: a Plan or the path of one. `optimizer`, `loss` and `step` as in `roam.hook`; `scheduler` multiplies the
    learning rates by 0.9 after every step; `progress(what, part)` is called as work goes on. Both runs start from the
    present state of everything that the step reaches, and all of it is left as it was, which takes one copy of all
    tensors, in memory or on disk. Peaks (bytes) and step times (seconds) are those of this process, one run after the
    other: `roam verify FILE.py:FACTORY` takes fresh processes and measures them cleaner.

    Raises InputError, CaptureError where the step cannot be captured, MismatchError where the plan is for another model
    or batch.
    """
    _check_steps(steps)
    check_holds_data(model, batch, "verified")
    made = {"model": model, "optimizer": optimizer, "batch": batch, "loss": loss, "step": step}
    training, device = training_step(made), step_device(model)

    def run(bound: BoundStep) -> tuple[RunFigures, dict[str, torch.Tensor], Digests]:
        figures, found = measured_run(
            bound, optimizer, batch, steps=steps, scheduler=scheduler, device=device, progress=progress
        )
        losses = results_named(found)
        return figures, losses, digest_each(losses) | digests_now(training)

    with turn("verifying a plan", _waiting(progress)), _left_alone(training) as start:
        eager, _, left = run(bind_eager(made))
        start.restore()
        _put_gradients_aside(training)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RoamWarning)  # the result tells
            planned_step = bind_planned(made, plan)
            planned, losses, right = run(planned_step)
        parted = next((name for name in left if left[name] != right.get(name)), "")
        differences = first_differences(left, right)
        if differences:
            kept = _copy({**losses, **tensors_now(training)}.get(parted))
            start.restore()
            losses = run(bind_eager(made))[1]  # run again, as a second copy of everything would take more memory
            amount = _amount({**losses, **tensors_now(training)}.get(parted), kept)
            differences = first_differences(left, right, lambda name: amount if name == parted else "")
    return Verification(
        identical=not differences,
        differences=differences,
        steps=steps,
        device=str(device),
        eager=eager,
        planned=planned,
        arena_bytes=_arena_bytes(plan),
        reasons=dict(getattr(planned_step, "reasons", {})),
    )


def measure_plan(
    plan: Any,
    model: torch.nn.Module,
    optimizer: OptimizerOrSeveral,
    batch: Any,
    loss: LossFunction | torch.nn.Module | None = None,
    step: StepFunction | None = None,
    steps: int = 4,
    progress: Progress = silent,
) -> RunFigures:
    """Memory and time of `steps` planned steps; everything that the step reaches is put back as it was.

    Raises InputError, CaptureError, MismatchError.
    """
    _check_steps(steps)
    check_holds_data(model, batch, "run")
    made = {"model": model, "optimizer": optimizer, "batch": batch, "loss": loss, "step": step}
    with turn("running a plan", _waiting(progress)), _left_alone(training_step(made)):
        bound = bind_planned(made, plan)
        return measured_run(bound, optimizer, batch, steps=steps, device=step_device(model), progress=progress)[0]


@contextmanager
def _left_alone(step: TrainingStep) -> Iterator[Everything]:
    """A context after which everything that the step reaches, and grad mode, are as before, also after an interrupt.
    Raises InputError where that is impossible."""
    start, grad = Everything(step), torch.is_grad_enabled()
    if start.cannot_restore:
        raise InputError(
            f"the step reaches {start.cannot_restore[0]}, which cannot be put back after it; "
            "verify it from a file, where each run has a process of its own: roam verify FILE.py:FACTORY"
        )
    _put_gradients_aside(step)
    try:
        yield start
    finally:
        with held():
            start.restore()
            torch.set_grad_enabled(grad)


def _waiting(progress: Progress) -> Callable[[str], None]:
    """A function that calls `progress` with a sentence on what the run waits for."""
    return lambda what: progress(f"waiting for {what}", 0.0)


def _put_gradients_aside(step: TrainingStep) -> None:
    """Clear old gradients, which are no part of the runs that are compared."""
    for parameter in step.parameters.values():
        parameter.grad = None


def _copy(value: Any) -> Any:
    return value.detach().to("cpu", copy=True) if isinstance(value, torch.Tensor) else value


def _amount(eager: Any, planned: Any) -> str:
    if not isinstance(eager, torch.Tensor) or not isinstance(planned, torch.Tensor):
        return ""
    if (eager.shape, eager.dtype) != (planned.shape, planned.dtype):
        return ""
    return told_difference(eager, planned)


def _arena_bytes(plan: Any) -> int | None:
    if isinstance(plan, str | os.PathLike):
        return read_json(plan).get("arena_bytes")
    return getattr(plan, "arena_bytes", None)


def _check_steps(steps: int) -> None:
    if steps < 2:
        raise InputError(f"steps is {steps}; verification needs at least 2: the first makes optimizer state")
