"""What the user's functions of a learning-rate scheduler read: a planned step calls them when all else is done, so they
must not read what the step itself changes."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType, MethodType
from typing import Any

from torch.optim.lr_scheduler import LRScheduler

from roam_lab.capture.sources.library import is_user_code
from roam_lab.capture.sources.python_state import Change
from roam_lab.capture.sources.reachable import reach
from roam_lab.capture.sources.values import is_plain


def changed_reading(schedulers: Iterable[Any], changes: Iterable[Change]) -> Change | None:
    """The first of the changes that a function of one of the schedulers may read: the function reaches what holds it,
    and names it, or it is an entry. None where there is none."""
    functions = {id(one): one for scheduler in schedulers for one in _functions(scheduler, set())}
    names = {name for one in functions.values() for name in _named(one.__code__)}
    plain = [one for one in changes if is_plain(one.before) and (one.path.endswith("]") or _name(one) in names)]
    if not plain:
        return None
    held = {id(container.held) for container in reach({"rate": list(functions.values())}).containers}
    return next((one for one in plain if id(one.container) in held), None)


def _name(change: Change) -> Any:
    """The name of a variable, attribute or key."""
    return change.path if change.key == "cell_contents" else change.key


def _functions(value: Any, seen: set[int]) -> Iterator[FunctionType]:
    """The user's functions that a scheduler has or is made of, and those that they call by name."""
    if id(value) in seen:
        return
    seen.add(id(value))
    inner: Iterable[Any] = ()
    if isinstance(value, FunctionType):
        if is_user_code(value.__module__):
            yield value
            inner = [value.__globals__.get(name) for name in value.__code__.co_names]
            inner += [cell.cell_contents for cell in value.__closure__ or () if _is_function(cell)]
    elif isinstance(value, MethodType):
        inner = [value.__func__]
    elif isinstance(value, functools.partial):
        inner = [value.func]
    elif isinstance(value, list | tuple):
        inner = value
    elif isinstance(value, LRScheduler):
        inner = [*vars(value).values(), *(vars(type(value)).values() if is_user_code(type(value).__module__) else ())]
    elif callable(value) and is_user_code(type(value).__module__) and not isinstance(value, type):
        inner = [type(value).__call__]
    for one in inner:
        yield from _functions(one, seen)


def _is_function(cell: Any) -> bool:
    try:
        return isinstance(cell.cell_contents, FunctionType)
    except ValueError:  # empty
        return False


def _named(code: CodeType) -> Iterator[str]:
    """Names of variables and attributes that code uses, and texts in it, which may be keys."""
    yield from (*code.co_names, *code.co_freevars)
    for const in code.co_consts:
        if isinstance(const, str):
            yield const
        elif isinstance(const, CodeType):
            yield from _named(const)
