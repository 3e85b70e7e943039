"""While a step is traced, a comparison of changing numbers is True or False in the user's code, and a condition of the
trace.

torch's is a symbol, which is neither: `(count > 3) is True` is False for it, `requires_grad = count > 3` raises, and so
do `model.train(count > 3)`, `choices[count > 3]` and `float(count > 3)`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from roam_lab.capture.user_lines import NOT_THE_USERS

_COMPARISONS = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")


@contextmanager
def plain_comparisons() -> Iterator[None]:
    """A context in which symbols are compared so. What torch compares for itself makes no condition of its own."""
    before = [(kind, name, getattr(kind, name)) for kind in (torch.SymInt, torch.SymFloat) for name in _COMPARISONS]
    for kind, name, compare in before:
        setattr(kind, name, _plain(compare))
    try:
        yield
    finally:
        for kind, name, compare in before:
            setattr(kind, name, compare)


def _plain(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def instead(one: Any, other: Any) -> Any:
        found = compare(one, other)
        if isinstance(found, torch.SymBool) and not _asked_by_torch():
            return bool(found)
        return found

    return instead


def _asked_by_torch() -> bool:
    return sys._getframe(2).f_code.co_filename.startswith(NOT_THE_USERS)
