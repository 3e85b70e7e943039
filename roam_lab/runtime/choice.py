"""What a hook means to do with a batch, before anything is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from roam_lab.runtime.compiled import Compiled
from roam_lab.runtime.reasons import Reason

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Choice:
    """A captured step (`compiled`, kept as `way`) that may be right for a batch of this `key`; or the `reason` to run
    eagerly; or neither, where another way is to be captured. `other`: why no captured one is right."""

    key: Key
    way: Key = ()
    compiled: Compiled | None = None
    reason: Reason | None = None
    other: str | None = None
