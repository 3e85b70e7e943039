"""Running plans: a plan, a model and an optimizer become a step function, which is compared with eager bit by bit.
Imports torch."""

from roam_lab.runtime.hook import hook
from roam_lab.runtime.planned_step import PlannedStep

__all__ = ["PlannedStep", "hook"]
