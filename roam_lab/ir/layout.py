"""A layout: where each storage lies in the arena."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layout:
    """Byte offset of each storage that has bytes, and the size of the arena that holds them all."""

    offsets: Mapping[int, int]
    arena_bytes: int
