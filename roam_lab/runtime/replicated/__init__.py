"""A hooked step on several ranks, which do the same in every step: planned together, eager together."""

from roam_lab.runtime.replicated.agreed_plan import replicated_step
from roam_lab.runtime.replicated.step import ReplicatedStep

__all__ = ["ReplicatedStep", "replicated_step"]
