"""Plan + model + optimizer -> a step that runs it, and the proof that it is the same. Imports torch."""

from roam_lab.runtime.hook import hook
from roam_lab.runtime.planned_step import PlannedStep

__all__ = ["PlannedStep", "hook"]
