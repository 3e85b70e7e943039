"""Attributes of modules, classes and objects, replaced for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

Replacement = tuple[Any, str, Callable[..., Any]]
"""Whose attribute, its name, and what stands there meanwhile."""

_INHERITED = object()


@contextmanager
def replaced(replacements: Sequence[Replacement]) -> Iterator[None]:
    """Put everything back afterwards, the last one first; what an owner only inherits is its own no longer."""
    saved = [(owner, name, vars(owner).get(name, _INHERITED)) for owner, name, _ in replacements]
    for owner, name, function in replacements:
        setattr(owner, name, function)
    try:
        yield
    finally:
        for owner, name, original in reversed(saved):
            if original is _INHERITED:
                delattr(owner, name)
            else:
                setattr(owner, name, original)
