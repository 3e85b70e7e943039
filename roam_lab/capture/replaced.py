"""Replacing attributes of modules, classes and objects for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

Replacement = tuple[Any, str, Callable[..., Any]]
"""(owner, name of the attribute, the value for the time being)."""

_INHERITED = object()


@contextmanager
def replaced(replacements: Sequence[Replacement]) -> Iterator[None]:
    """A context in which attributes have other values; they are put back in reverse sequence, and an attribute that the
    owner only inherits is deleted."""
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
