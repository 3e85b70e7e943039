"""Functions of other modules, replaced for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

Replacement = tuple[Any, str, Callable[..., Any]]
"""Whose attribute, its name, and what stands there meanwhile."""


@contextmanager
def replaced(replacements: Sequence[Replacement]) -> Iterator[None]:
    """Put everything back afterwards, the last one first."""
    saved = [(owner, name, getattr(owner, name)) for owner, name, _ in replacements]
    for owner, name, function in replacements:
        setattr(owner, name, function)
    try:
        yield
    finally:
        for owner, name, original in reversed(saved):
            setattr(owner, name, original)
