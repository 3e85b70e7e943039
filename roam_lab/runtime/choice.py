"""The choice that a hook makes for a batch before anything is run: a compiled step, an eager step, or a new capture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from roam_lab.capture.inputs import batch_signature, batch_structure
from roam_lab.runtime.compiled import Compiled
from roam_lab.runtime.reasons import Reason

Key = tuple[Any, ...]
OnMismatch = Literal["eager", "error", "replan"]


def key_of(batch: Any, modes: tuple[Any, ...], device: str) -> Key:
    """The key that is equal for batches which one captured step may run: their shapes and structure, the model's modes,
    and autocast's dtype."""
    autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    return batch_signature(batch), batch_structure(batch), modes, autocast


@dataclass(frozen=True)
class Choice:
    """One of three: `compiled`, a captured step (kept under the key `way`) that may be right for a batch of this `key`;
    a `reason` to run eagerly; or neither, and another way is to be captured. `other`: why no captured one is right."""

    key: Key
    way: Key = ()
    compiled: Compiled | None = None
    reason: Reason | None = None
    other: str | None = None
