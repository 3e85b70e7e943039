"""`roam.hook`: a model and its optimizers, with a plan or without one, become a step function."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from typing import Any

import torch

from roam_lab.capture import as_step
from roam_lab.capture.step import LossFunction, StepFunction
from roam_lab.capture.training_step import keep_grads_of, optimizers_of
from roam_lab.distributed import by_several_ranks
from roam_lab.errors import InputError
from roam_lab.plan import Plan, load_plan
from roam_lab.plan.cache import PlanCache
from roam_lab.plan.limits import check_goals
from roam_lab.rewrite.kinds import checked_kinds
from roam_lab.runtime.choice import OnMismatch
from roam_lab.runtime.executors import ExecutorName, executor_of
from roam_lab.runtime.plan_check import check_fits
from roam_lab.runtime.planned_step import PlannedStep
from roam_lab.runtime.plans import Plans
from roam_lab.runtime.replicated import replicated_step
from roam_lab.runtime.self_check import Check, check_of
from roam_lab.sizes import bytes_of

PlanOrPath = Plan | str | os.PathLike[str]


def hook(
    plan: PlanOrPath | torch.nn.Module | None = None,
    model: Any = None,
    optimizer: Any = None,
    loss: LossFunction | torch.nn.Module | None = None,
    step: StepFunction | None = None,
    on_mismatch: OnMismatch | None = None,
    check: Check = "first",
    executor: ExecutorName = "python",
    keep_grads: bool | Iterable[str] = False,
    budget: int | str | None = None,
    extra_time: float | None = None,
    rewrites: Collection[str] | None = None,
    cache: bool | str | os.PathLike[str] = True,
) -> PlannedStep:
    """A step function that trains `model` as `plan` (or the plan file at that path) says: `loss = step(batch)`.

    Without a plan (`roam.hook(model, optimizer)`) the first call captures the step on its batch and plans it. `budget`:
    the most that the whole step may take, in bytes or as "24GiB"; `extra_time`: the most that rewriting may cost, as a
    fraction of the step's time; `rewrites`: the kinds that are allowed, all by default; `cache`: plans and captures are
    kept in this folder for the next start of the script (True: `$ROAM_CACHE`, or one in the user's folder for caches).

    A DistributedDataParallel, or a model of `roam.shard`, is hooked, and its step is called, by all ranks together.
    The first rank's plan is used, if it gives one (others may give None); without one, the first rank plans for all.

    `optimizer`: one, or a tuple. `loss` and `step` as in `roam.profile`. `on_mismatch`, for batches of other shapes
    and whatever else the plan was not made for: run the ordinary eager step ("eager", the default with a plan),
    raise MismatchError ("error"), or plan for them as well ("replan", the default without one). `check`: which
    planned steps are run eagerly, too, from the same state, and compared bit by bit: the first of each shape and
    mode ("first"), none ("never": only what leads a capture), or these and every Nth (N). A step that differs is
    run eagerly from then on. `executor`: op by op from Python ("python"), or as one CUDA graph ("cuda_graph", which
    no GPU has run yet); where a step cannot be one, it runs from Python and `notes` says why. `keep_grads`: names
    of parameters whose `.grad` is read after the step, where eager leaves one; True: of all. Others stay set only
    where a later call adds to them (accumulation over several calls). Give `roam.profile` the same.

    Raises MismatchError at once when the plan is for another model, and FormatError for a damaged file. The first call
    raises InfeasibleError where the budget is too small; that of a DistributedDataParallel, whose first step is eager,
    does so in the second.
    """
    if isinstance(plan, torch.nn.Module):
        if model is not None and optimizer is not None:
            raise InputError("give a plan, a model and an optimizer; or a model and an optimizer, and others by name")
        plan, model, optimizer = None, plan, model if optimizer is None else optimizer
    if on_mismatch not in (None, "eager", "error", "replan"):
        raise InputError(f"on_mismatch is {on_mismatch!r}; choose 'eager', 'error' or 'replan'")
    check, executor = check_of(check), executor_of(executor)
    optimizers_of(optimizer)
    train_step, kept = as_step(loss, step), keep_grads_of(keep_grads, model)
    plans = _own_plans(budget, extra_time, rewrites, cache)
    if by_several_ranks(model):
        return replicated_step(plan, model, optimizer, train_step, on_mismatch, check, executor, kept, plans)
    on_mismatch = on_mismatch or ("replan" if plan is None else "eager")
    if plan is not None:
        if plans.goals:
            raise InputError("a plan was given, which has its own budget and rewrites; give budget and others without")
        plan = plan if isinstance(plan, Plan) else load_plan(plan)
        check_fits(plan, model, replan=on_mismatch == "replan")
        plans = Plans(plan)
    return PlannedStep(plans, model, optimizer, train_step, on_mismatch, check, executor, kept)


def _own_plans(
    budget: int | str | None,
    extra_time: float | None,
    rewrites: Collection[str] | None,
    cache: bool | str | os.PathLike[str],
) -> Plans:
    """What the first step plans itself. Raises ParameterError for goals that make no sense."""
    budget = bytes_of(budget) if isinstance(budget, str) else budget
    goals: dict[str, Any] = {"budget": budget, "extra_time": extra_time}
    goals["rewrites"] = None if rewrites is None else sorted(checked_kinds(rewrites))
    goals = {key: value for key, value in goals.items() if value is not None}
    check_goals(budget, extra_time)
    folder = None if cache is True else cache
    return Plans(None, goals, None if folder is False else PlanCache(folder))
