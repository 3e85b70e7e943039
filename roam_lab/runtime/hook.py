"""`roam.hook`: a plan, a model and its optimizers become a step function."""

from __future__ import annotations

import os

import torch

from roam_lab.capture import as_step
from roam_lab.capture.step import LossFunction, StepFunction
from roam_lab.capture.training_step import OptimizerOrSeveral
from roam_lab.distributed import is_replicated
from roam_lab.errors import InputError
from roam_lab.plan import Plan, load_plan
from roam_lab.runtime.executors import ExecutorName, executor_of
from roam_lab.runtime.plan_check import check_fits
from roam_lab.runtime.planned_step import OnMismatch, PlannedStep
from roam_lab.runtime.replicated import replicated_step
from roam_lab.runtime.self_check import Check, check_of


def hook(
    plan: Plan | str | os.PathLike[str] | None,
    model: torch.nn.Module,
    optimizer: OptimizerOrSeveral,
    loss: LossFunction | torch.nn.Module | None = None,
    step: StepFunction | None = None,
    on_mismatch: OnMismatch = "eager",
    check: Check = "first",
    executor: ExecutorName = "python",
) -> PlannedStep:
    """A step function that trains `model` as `plan` (or the plan file at that path) says: `loss = step(batch)`.

    `optimizer`: one, or a tuple. `loss` and `step` as in `roam.profile`. `on_mismatch`, for batches of other shapes
    and whatever else the plan was not made for: run the ordinary eager step ("eager"), raise MismatchError ("error"),
    or plan for them as well ("replan"). `check`: which planned steps are run eagerly, too, from the same state, and
    compared bit by bit: the first of each shape and mode ("first"), none ("never"), or these and every Nth (N). A step
    that differs is run eagerly from then on. A DistributedDataParallel is hooked, and its step is called, by all ranks
    together, with the first rank's plan; others may give None. `executor`: op by op from Python ("python"), or as one
    CUDA graph ("cuda_graph", which no GPU has run yet); where a step cannot be one, it runs from Python and `notes`
    says why.

    Raises MismatchError at once when the plan is for another model, and FormatError for a damaged file.
    """
    if on_mismatch not in ("eager", "error", "replan"):
        raise InputError(f"on_mismatch is {on_mismatch!r}; choose 'eager', 'error' or 'replan'")
    check, executor = check_of(check), executor_of(executor)
    train_step = as_step(loss, step)
    if is_replicated(model):
        return replicated_step(plan, model, optimizer, train_step, on_mismatch, check, executor)
    if plan is None:
        raise InputError("there is no plan; give one, or the path of its file")
    plan = plan if isinstance(plan, Plan) else load_plan(plan)
    check_fits(plan, model, replan=on_mismatch == "replan")
    return PlannedStep(plan, model, optimizer, train_step, on_mismatch, check, executor)
