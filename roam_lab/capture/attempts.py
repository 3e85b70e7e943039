"""Tracing a step again and again until all Python numbers that change from step to step are known; the last trace has
them as inputs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch

from roam_lab.capture.gradients import LeftForLaterError
from roam_lab.capture.guide import ShapeOfValuesError
from roam_lab.capture.known import Known
from roam_lab.capture.sources.carried import CarriedError
from roam_lab.capture.sources.filled import FilledError
from roam_lab.capture.sources.places import NOTHING_KNOWN, Changing, Settled
from roam_lab.capture.sources.python_values import NumbersChangedError, SettledError
from roam_lab.capture.torch_internals import little_kept_of_traces
from roam_lab.capture.trace import Trace
from roam_lab.capture.tracer import Tracer
from roam_lab.capture.training_step import TrainingStep
from roam_lab.errors import CaptureError, DataDependentError
from roam_lab.ir.op_log import OpLog

MOST_NUMBERS = 1_000
"""The most Python numbers that a step may change."""

MOST_SETTLED = 100
"""The most plain Python values that a step may make in its first run and keep."""

MOST_SETTLING = 8
"""The most traces in a row that each show further ones: a step that keeps an entry for each step makes one for ever."""


def trace_step(
    training: TrainingStep,
    batch: Any,
    device: torch.device | None,
    check: Callable[[], None],
    log: OpLog | None = None,
    changing: Changing = NOTHING_KNOWN,
) -> Trace:
    """Trace `training` on `batch` with make_fx. The model, optimizers and batch are left as they were.

    `device`: the device that tensors on the meta device stand for. `check` is called before each op; an exception that
    it raises ends the trace. `log`: the ops of the eager step, which the trace then follows op by op, taking the same
    branches. `changing`: Python numbers that are inputs in any case, whether the step changes them or not. Without a
    log, a plain value that the step makes in its first run and keeps is assumed to exist: the trace is that of the
    second step. Raises CaptureError (DataDependentError where a shape, or without a log a branch, depends on values)
    naming the user's line.
    """
    known = Known.of(changing)
    settled: list[Settled] = []
    settling = 0
    with little_kept_of_traces(), ExitStack() as afterwards:
        while True:
            tracer = Tracer(training, batch, device, check, log, known)
            try:
                return replace(tracer.trace(), presumed=tuple(settled))
            except DataDependentError:
                if log is not None or not known.as_eager:
                    raise
                # models that look at values in eager alone (at a mask) can be captured without values
                known.as_eager = False
            except SettledError as error:
                settled += error.values
                settling += 1
                too_many = len(settled) > MOST_SETTLED or settling > MOST_SETTLING
                if log is not None or too_many or not all(one.writable for one in error.values):
                    raise
                for one in error.values:
                    afterwards.callback(one.take_back)
                    one.put()
            except ShapeOfValuesError as error:
                _fix_a_shape(tracer, known, error.line)
            except LeftForLaterError as error:
                known.later |= set(error.names)
            except FilledError as error:
                known.filled += error.places
            except CarriedError as error:
                known.carried += error.places
            except NumbersChangedError as error:
                if len(known.places) > MOST_NUMBERS:
                    raise CaptureError(
                        f"the step changes more than {MOST_NUMBERS} Python numbers, the last {error.places[-1].path}; "
                        "keep them in a tensor"
                    ) from None
                known.places += error.places


def _fix_a_shape(tracer: Tracer, known: Known, line: str | None) -> None:
    """Make the number that a shape depends on a constant of the next trace. Raises DataDependentError where no such
    number is left."""
    whole = tracer.unfixed_whole_numbers()
    if whole:
        known.fixed |= whole
    elif tracer.batch_numbers - known.frozen:
        known.frozen |= tracer.batch_numbers
    else:
        named = ", ".join(place.path for place in known.places[:3]) or "a value"
        where = f"{line}: " if line else ""
        raise DataDependentError(
            f"{where}the step takes a shape from {named}, which changes from step to step; keep shapes fixed, or keep "
            "that part outside the step"
        ) from None
