"""Everything that a training step can change, at one moment: named values, their digests, and the way back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy
import torch

from roam_lab.capture import TrainingStep
from roam_lab.capture.snapshot import Snapshot
from roam_lab.runtime.identity import Digests, digest, named_values


class Everything:
    """A snapshot of what one step may change, taken when it is made; `restore` puts it back, in place."""

    def __init__(self, step: TrainingStep) -> None:
        self._step = step
        self._snapshot = Snapshot(step.model, step.optimizer)

    def restore(self) -> None:
        """Put everything back. May be called more than once; an interrupt waits until that is done."""
        self._snapshot.restore()

    def values(self) -> Iterator[tuple[str, Any]]:
        """What the step may have changed, as it is now, by name."""
        return self.now(self._step)

    @staticmethod
    def now(step: TrainingStep) -> Iterator[tuple[str, Any]]:
        """The same without a snapshot."""
        yield from named_values(step.model, step.optimizer)
        for name, parameter in step.model.named_parameters():
            if parameter.grad is not None:
                yield f"gradient of {name}", parameter.grad
        yield from random_state()

    def digests(self) -> Digests:
        """`digest` of each of `values`; takes a copy of one tensor at a time."""
        return {name: digest(value) for name, value in self.values()}


def random_state() -> Iterator[tuple[str, Any]]:
    """The state of the random generators that a step may draw from, by name."""
    yield "random state of torch", torch.get_rng_state()
    if torch.cuda.is_initialized():
        for index, state in enumerate(torch.cuda.get_rng_state_all()):
            yield f"random state of CUDA device {index}", state
    kind, keys, position, *more = numpy.random.get_state()
    yield "random state of NumPy", torch.from_numpy(numpy.asarray(keys).view(numpy.int32).copy())
    yield "position in the random state of NumPy", repr((kind, position, *more))
    yield "random state of Python", str(hash(random.getstate()))
