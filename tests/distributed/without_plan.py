"""A hook that makes its plan at its first call; until `roam.hook` itself does that, for replicated models alone."""

from __future__ import annotations

from typing import Any

from roam_lab.capture.step import StepFunction
from roam_lab.capture.training_step import OptimizerOrSeveral
from roam_lab.distributed import Ranks
from roam_lab.runtime.replicated.agreed_plan import of_first, replicated_step
from roam_lab.runtime.replicated.step import ReplicatedStep


def hook_without_plan(
    model: Any, optimizer: OptimizerOrSeveral, batch: Any, step: StepFunction, *, timing: bool = False, **goals: Any
) -> ReplicatedStep:
    """Profile a step on `batch` on all ranks, plan it on the first for `goals` (arguments of `Profile.plan`), and hook
    it on all."""
    from roam_lab.app.session import profile

    made = profile(model, batch, optimizer, step=step, timing=timing)
    plan = of_first(Ranks(model.process_group), lambda: made.plan(**goals))
    return replicated_step(plan, model, optimizer, step, "eager", "first", "python")
