"""Literals: tensors that the step's own code makes of Python values (`torch.tensor([1.0, 2.0])`)."""

from __future__ import annotations

import torch

from roam_lab.capture.sources.digest import digest
from roam_lab.capture.torch_internals import without_modes

LIFTS = frozenset({torch.ops.aten.lift_fresh.default, torch.ops.aten.lift.default})
"""The ops by which torch tells modes of such a tensor."""


def literal(tensor: torch.Tensor) -> str:
    """The digest of a literal that was just made, while modes may be active."""
    with without_modes():
        return digest(tensor)
