"""Everything that a training step reaches, at one moment: named values, their digests, and the way back."""

from __future__ import annotations

from typing import Any

import torch

from roam_lab.capture import TrainingStep
from roam_lab.capture.sources.python_state import Change
from roam_lab.capture.sources.reachable import reach
from roam_lab.capture.sources.snapshot_everything import FullSnapshot, digests_of
from roam_lab.capture.sources.stateful import content_bytes
from roam_lab.capture.training_step import roots_of
from roam_lab.runtime.identity import Digests, digest

MOST_MEMORY_BYTES = 8 * 2**20
"""A copy beyond this lies in a file: the step that runs beside it must not take more memory than eagerly."""


class Everything:
    """A copy of what one step may change, made when this is; `restore` puts it back, in place.

    `cannot_restore`: what `restore` would leave as it is (open files, iterators, ...): do not run the step twice then.
    """

    def __init__(self, step: TrainingStep, batch: Any = None) -> None:
        self._step = step
        self._snapshot = FullSnapshot(
            step.model, step.optimizer, step.function, batch=batch, most_memory_bytes=MOST_MEMORY_BYTES
        )
        self.cannot_restore = self._snapshot.python.cannot_restore

    @property
    def reached(self) -> tuple[tuple[str, torch.Tensor], ...]:
        """(path, tensor) of all that was reached when this was made."""
        return self._snapshot.reachable.tensors

    def changes(self) -> tuple[Change, ...]:
        """What differs now in Python objects."""
        return self._snapshot.changes()

    def changed_arrays(self) -> set[str]:
        """Paths of the arrays that hold something else now."""
        return {one.path for one in self.changes() if content_bytes(one.container) is not None}

    def restore(self) -> None:
        """Put everything back. May be called more than once; an interrupt waits until that is done."""
        self._snapshot.restore()

    def digests(self) -> Digests:
        """The digest of everything as it is now, by name."""
        return digests_now(self._step)

    def gradients(self) -> Digests:
        """The digest of each gradient that is set now, by the parameter's name."""
        named = self._step.parameters.items()
        return {name: digest(one.grad) for name, one in named if one.grad is not None}

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every tensor and gradient as it is now, by the name that it has in `digests`."""
        return tensors_now(self._step)


def digests_now(step: TrainingStep) -> Digests:
    """The digest of everything that the step reaches now; takes a copy of one tensor at a time."""
    return digests_of(roots_of(step))


def tensors_now(step: TrainingStep) -> dict[str, torch.Tensor]:
    """Every tensor and gradient that the step reaches now, by name."""
    found = reach(roots_of(step)).tensors
    gradients = {f"{name}.grad": one.grad for name, one in found if one.is_leaf and one.grad is not None}
    return {**gradients, **dict(reversed(found))}
