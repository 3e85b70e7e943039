"""A layout: where each storage lies in the arena."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layout:
    """`offsets`: byte offset in the arena of each storage that has bytes; `arena_bytes`: the size of the arena."""

    offsets: Mapping[int, int]
    arena_bytes: int
