"""What keeps a step from being planned, as far as that is known before anything is captured or run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from roam_lab.capture import can_prime
from roam_lab.capture.inputs import batch_signature
from roam_lab.plan import Plan
from roam_lab.runtime.compiled import Compiled
from roam_lab.runtime.model_tree import ModelTree
from roam_lab.runtime.reasons import Reason
from roam_lab.runtime.state_made import StateMade


@dataclass(frozen=True)
class Known:
    """Of one hook. `replan`: whether batches that the plan was not made for are planned, too."""

    plan: Plan
    optimizers: tuple[torch.optim.Optimizer, ...]
    state_made: StateMade
    replan: bool

    def not_planned(self, batch: Any) -> Reason | None:
        """Why a batch or mode seen for the first time cannot be planned."""
        planned_for = self.plan.environment.get("batch")
        if not self.replan and planned_for not in (None, batch_signature(batch)):
            return Reason(
                f"the batch is not {planned_for}, which the plan was made for",
                f"this batch is {batch_signature(batch)}; the plan was made for {planned_for}",
                "pad it, or use on_mismatch='eager' or 'replan'",
            )
        return self.first_step()

    def first_step(self) -> Reason | None:
        """The reason to run a first step eagerly: an optimizer whose state nothing else can make."""
        for optimizer in self.optimizers:
            if not can_prime(optimizer) and not self.state_made.by(optimizer):
                return Reason(f"{type(optimizer).__name__} makes its state in its first step, which runs eagerly")
        return None


def gradients_left(model: torch.nn.Module, tree: ModelTree, compiled: Compiled, leaves: Sequence[Any]) -> bool:
    """Whether there is a gradient that the step would add to: from an eager step, or set by the user. `leaves`: of the
    batch."""
    if any(isinstance(one, torch.Tensor) and one.is_leaf and one.grad is not None for one in leaves):
        return True
    if all(parameter.grad is None for parameter in tree.parameters()):
        return False
    return any(one.grad is not None and name not in compiled.cleared for name, one in model.named_parameters())
