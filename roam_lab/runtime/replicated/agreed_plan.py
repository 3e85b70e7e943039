"""One plan on all ranks: the first rank's, if all of them mean the same training."""

from __future__ import annotations

import os
from typing import Any

import torch

from roam_lab.capture.inputs import model_digest
from roam_lab.capture.step import StepFunction
from roam_lab.capture.training_step import OptimizerOrSeveral, optimizers_of
from roam_lab.distributed import Ranks, refuse_unsupported
from roam_lab.distributed.collectives import digest_of
from roam_lab.distributed.several import process_group_of
from roam_lab.errors import InputError, MismatchError
from roam_lab.plan import Plan, load_plan
from roam_lab.runtime.choice import OnMismatch
from roam_lab.runtime.executors import ExecutorName
from roam_lab.runtime.plan_check import check_fits
from roam_lab.runtime.plans import Plans
from roam_lab.runtime.replicated.broadcast_plan import from_one
from roam_lab.runtime.replicated.step import ReplicatedStep
from roam_lab.runtime.self_check import Check


def replicated_step(
    plan: Plan | str | os.PathLike[str] | None, model: Any, optimizer: OptimizerOrSeveral, step: StepFunction,
    on_mismatch: OnMismatch | None, check: Check, executor: ExecutorName, keep_grads: bool | tuple[str, ...],
    own: Plans,
) -> ReplicatedStep:  # fmt: skip
    """A step function for a model that several ranks train; called by all its ranks together, as is what it returns.

    `plan`: the first rank's, or the path of its file there, is used; others may give None. `own`: where plans come from
    where the first rank gives none.
    Raises CaptureError for a mode of the wrapper that cannot be planned. Raises MismatchError on all ranks, before they
    exchange anything else, where one of them has another model, optimizer, plan or setting than the first.
    """
    refuse_unsupported(model)
    ranks = Ranks(process_group_of(model))
    means = {
        "model": digest_of(model_digest(model), *(type(module).__qualname__ for module in model.modules())),
        "optimizer": [type(one).__name__ for one in optimizers_of(optimizer)],
        "training step in its plan": plan.graph_sha256 if isinstance(plan, Plan) else None,
        "setting of roam.hook": (on_mismatch, check, executor, keep_grads, own.goals),
        "version of torch": torch.__version__,
    }
    refuse_others(ranks.gathered(means))
    agreed = from_one(ranks, 0, lambda: plan if plan is None or isinstance(plan, Plan) else load_plan(plan))
    on_mismatch = on_mismatch or ("replan" if agreed is None else "eager")
    if agreed is not None:
        if own.goals:
            raise InputError("a plan was given, which has its own budget and rewrites; give budget and others without")
        check_fits(agreed, model, replan=on_mismatch == "replan")
        own = Plans(agreed)
    return ReplicatedStep(ranks, own, model, optimizer, step, on_mismatch, check, executor, keep_grads)


def refuse_others(gathered: list[dict[str, Any]]) -> None:
    """Raises MismatchError where a rank means something else than the first does."""
    for rank, means in enumerate(gathered):
        for what, value in means.items():
            if value is not None and value != gathered[0][what]:
                raise MismatchError(
                    f"rank {rank} has another {what} than rank 0, and their gradients would be mixed up; run the same "
                    "script with the same arguments on all ranks, with batches of one shape"
                )
