"""What a hook means to do with a batch, before anything is run."""

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
    """What batches have in common that may be run by one captured step: shapes and structure, the model's modes, and
    the type that autocast casts to."""
    autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    return batch_signature(batch), batch_structure(batch), modes, autocast


@dataclass(frozen=True)
class Choice:
    """A captured step (`compiled`, kept as `way`) that may be right for a batch of this `key`; or the `reason` to run
    eagerly; or neither, where another way is to be captured. `other`: why no captured one is right."""

    key: Key
    way: Key = ()
    compiled: Compiled | None = None
    reason: Reason | None = None
    other: str | None = None
