"""Capturing a training step: tracing it into an fx graph of ATen ops, and turning that into a graph of `ir/`. Imports
torch."""

from roam_lab.capture.captured import Captured, capture_step, step_device
from roam_lab.capture.prime import can_prime, prime_optimizer
from roam_lab.capture.step import as_step
from roam_lab.capture.training_step import OptimizerOrSeveral, TrainingStep, optimizers_of

__all__ = [
    "Captured",
    "OptimizerOrSeveral",
    "TrainingStep",
    "as_step",
    "can_prime",
    "capture_step",
    "optimizers_of",
    "prime_optimizer",
    "step_device",
]
