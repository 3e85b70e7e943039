"""While a step is traced, `type` and `isinstance` in the user's code treat a symbol as the Python number it stands for.

Otherwise `isinstance(count, int) and count > 3` would be False for a symbol, and leave no condition.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from roam_lab.capture.sources.probe import Probe, touch
from roam_lab.capture.sources.reachable import Reachable

_KINDS = {torch.SymInt: int, torch.SymFloat: float, torch.SymBool: bool}


@contextmanager
def symbols_as_numbers(reachable: Reachable) -> Iterator[None]:
    """A context in which functions of that name are in the globals of the user's functions."""
    spaces = {id(one.held.__globals__): one.held.__globals__ for one in reachable.code if one.kind == "function"}
    names = {"type": _type, "isinstance": _isinstance}
    put = [(space, name) for space in spaces.values() for name in names if name not in space]
    for space, name in put:
        space[name] = names[name]
    try:
        yield
    finally:
        for space, name in put:
            if space.get(name) is names[name]:
                del space[name]


def _type(*args: Any) -> Any:
    found: Any = type(*args)
    if len(args) > 1:
        return found
    if found is Probe:
        touch(args[0])
    return _KINDS.get(found, found)


def _isinstance(value: Any, kinds: Any) -> bool:
    if type(value) in _KINDS:
        return issubclass(_KINDS[type(value)], kinds)
    if type(value) is Probe:
        touch(value)
    return isinstance(value, kinds)
