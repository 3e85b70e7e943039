"""The arguments of a program that are other tensors in each step: the batch, old gradients, what a step carries to the
next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from roam_lab.capture import Captured
from roam_lab.capture.inputs import Input
from roam_lab.capture.sources.carried import carried_tensor
from roam_lab.runtime.binding import sharing
from roam_lab.runtime.model_tree import ModelTree
from roam_lab.runtime.program import GIVEN, Program


class Arguments:
    """Finds them for one compiled step. `inputs`: which, in the order in which the program takes them."""

    def __init__(self, captured: Captured, program: Program, tree: ModelTree) -> None:
        self.inputs = [found for found in program.arguments if found.kind in GIVEN]
        self._tree, self._carried = tree, captured.trace.carried
        self._residents: dict[int, int] = {}
        self._shared: list[int] = []

    def value(self, found: Input, leaves: Sequence[Any]) -> Any:
        """The present value of an input; `leaves`: of the batch."""
        if found.kind == "batch":
            return leaves[found.path[0]]
        if found.kind == "carried":
            return carried_tensor(self._carried, found)
        return self._tree.tensor(found.path[0]).grad

    def find(self, leaves: Sequence[Any]) -> list[Any]:
        """All of them; `leaves`: of the batch."""
        return [self.value(one, leaves) for one in self.inputs]

    def beside(self, residents: Iterable[torch.Tensor]) -> None:
        """Note the tensors that the program finds at their addresses."""
        self._residents = {one.untyped_storage().data_ptr(): -1 - at for at, one in enumerate(residents)}
        self._residents.pop(0, None)

    def share_as_before(self, arguments: Sequence[Any]) -> bool:
        """Whether these share memory, with each other and with residents, as those of the first step did: ops read what
        others write."""
        tensors = [one for one in arguments if isinstance(one, torch.Tensor)]
        resident = [self._residents.get(one.untyped_storage().data_ptr(), 0) for one in tensors]
        shared = [*sharing(tensors), *resident]
        same = shared == (self._shared or shared)
        self._shared = shared if same else self._shared
        return same
