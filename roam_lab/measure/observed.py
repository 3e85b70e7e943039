"""Capture led by a real eager step; used for every profile of a model whose weights are real (not fake) tensors."""

from __future__ import annotations

from typing import Any

import torch

from roam_lab.capture import Captured, TrainingStep, capture_step
from roam_lab.capture.refusal import explain
from roam_lab.capture.trace import refuse_at_sight
from roam_lab.errors import FirstStepError, PartedError
from roam_lab.measure.eager import EagerRun, Observer, observed
from roam_lab.progress import Progress


def observe_and_capture(
    training: TrainingStep, batch: Any, *, name: str | None, tell: Progress
) -> tuple[Captured, EagerRun | None, str | None]:
    """Run one eager step, capture the step as eager ran it, and put everything back as it was.

    Returns (captured step, eager run, None). Where memory does not suffice for the eager step, the step is captured
    without it, and the result is (captured step, None, sentence that says so). Raises CaptureError.
    """
    refuse_at_sight(training)
    try:
        with observed(training, batch) as observer:
            tell("running one eager step", 0.0)
            run = _run(observer)
            tell("capturing the training step", 0.0)
            try:
                return _captured(training, batch, name, run), run, None
            except (FirstStepError, PartedError):
                observer.settle()  # what a first step makes is there now
                run = _run(observer)
                return _captured(training, batch, name, run), run, None
    except torch.OutOfMemoryError as error:
        remark = f"The eager step ran out of memory, so nothing was measured: {str(error).splitlines()[0]}"
    tell("capturing the training step", 0.0)
    captured = capture_step(
        training.model, training.optimizer, batch, training.function, name=name, keep_grads=training.keep_grads
    )
    return captured, None, remark


def _run(observer: Observer) -> EagerRun:
    try:
        run = observer.observe()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise explain(error) from error
    return run


def _captured(training: TrainingStep, batch: Any, name: str | None, run: EagerRun) -> Captured:
    return capture_step(
        training.model, training.optimizer, batch, training.function, name=name, log=run.log,
        keep_grads=training.keep_grads,
    )  # fmt: skip
