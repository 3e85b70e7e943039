"""Undoing what a step writes before its last condition is checked: copied before the step, put back if the condition
does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from roam_lab.capture.inputs import Input
from roam_lab.capture.snapshot import RandomState
from roam_lab.runtime.program import Program


class Undo:
    """The copies for one program; none for a program without conditions inside the step."""

    def __init__(self, program: Program) -> None:
        self._needed = bool(program.otherwise)
        self._undone = program.undone
        self._draws = program.draws_before_check
        self._saved: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._random: RandomState | None = None

    def note(self, residents: Mapping[Input, torch.Tensor], given: Mapping[Input, Any]) -> None:
        """Copy the tensors that the next step may have to put back. `residents`: the resident inputs; `given`: the
        program's arguments."""
        if not self._needed:
            return
        self._random = RandomState() if self._draws else None
        found = {**residents, **given}
        tensors = [one if isinstance(one, torch.Tensor) else found[one] for one in self._undone]
        self._saved = [(tensor, tensor.detach().clone()) for tensor in tensors]

    def put_back(self) -> None:
        """Put tensors and random state back as they were at `note`."""
        with torch.no_grad():
            for tensor, value in self._saved:
                tensor.data.copy_(value)
        if self._random is not None:
            self._random.restore()

    def forget(self) -> None:
        """Drop the copies."""
        self._saved, self._random = [], None
