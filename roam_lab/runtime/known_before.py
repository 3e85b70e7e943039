"""Reasons not to plan a step that are known before anything is captured or run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from roam_lab.capture import TrainingStep, can_prime
from roam_lab.capture.gradients import how_it_lies
from roam_lab.capture.inputs import batch_signature, signatures_alike
from roam_lab.capture.torch_internals import dispatch_modes
from roam_lab.capture.trace import refuse_at_sight
from roam_lab.errors import CaptureError
from roam_lab.runtime.compiled import Compiled
from roam_lab.runtime.model_tree import ModelTree
from roam_lab.runtime.plans import Plans
from roam_lab.runtime.reasons import Reason, refusal
from roam_lab.runtime.state_made import StateMade


@dataclass(frozen=True)
class Known:
    """These reasons for one hook. `replan`: whether batches that the plan was not made for are planned, too."""

    plans: Plans
    training: TrainingStep
    state_made: StateMade
    replan: bool

    def not_planned(self, batch: Any) -> Reason | None:
        """Why a batch or mode seen for the first time cannot be planned; None where nothing is known against it."""
        planned_for = self.plans.environment.get("batch")
        if not self.replan and planned_for is not None and not signatures_alike(planned_for, batch_signature(batch)):
            return Reason(
                f"the batch is not {planned_for}, which the plan was made for",
                f"this batch is {batch_signature(batch)}; the plan was made for {planned_for}",
                "pad it, or use on_mismatch='eager' or 'replan'",
            )
        if not self.plans.given:  # what a plan was made of has passed that
            try:
                refuse_at_sight(self.training)
            except CaptureError as error:
                return refusal(error, changed=False)
        return self.first_step()

    def first_step(self) -> Reason | None:
        """The reason to run the first step eagerly: an optimizer whose state only a step can make; else None."""
        for optimizer in self.training.optimizers:
            if not can_prime(optimizer) and not self.state_made.by(optimizer):
                return Reason(f"{type(optimizer).__name__} makes its state in its first step, which runs eagerly")
        return None


def watched() -> Reason | None:
    """The reason to run eagerly while somebody looks at each op (a counter of operations, a tracer): a planned step has
    other ops; None where nobody does. A mode with a true attribute `of_planned_steps` wants to see those."""
    modes = [one for one in dispatch_modes() if not getattr(one, "of_planned_steps", False)]
    if not modes:
        return None
    name = type(modes[-1]).__name__
    return Reason(f"a {name} is active, which sees the ops of a step, and those of a planned one are others")


def other_gradients(
    training: TrainingStep, tree: ModelTree, compiled: Compiled, leaves: Sequence[Any]
) -> str | None:  # fmt: skip
    """A sentence on how the gradients that exist before the step (from an earlier one, or set by the user) differ from
    those that it was captured with; None where they do not. `leaves`: of the batch."""
    if any(isinstance(one, torch.Tensor) and one.is_leaf and one.grad is not None for one in leaves):
        return "a tensor of the batch has a gradient from before"
    if not compiled.begun and all(parameter.grad is None for parameter in tree.parameters()):
        return None
    for name, one in training.parameters.items():
        if name in compiled.cleared:
            continue
        gradient, begun = one.grad, compiled.begun.get(name)
        if (gradient is None) != (begun is None):
            return f"the step begins {'with' if begun is None else 'without'} a gradient of {name}"
        if gradient is not None and (how_it_lies(gradient) != begun or gradient.requires_grad):
            return f"the gradient of {name} from before lies in another way, or requires a gradient"
    return None
