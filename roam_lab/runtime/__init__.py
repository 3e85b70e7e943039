"""Plan + model + optimizer -> a step that runs it, and the proof that it is the same. Imports torch."""

from roam_lab.runtime.hook import PlannedStep, hook

__all__ = ["PlannedStep", "hook"]
