"""Finds out which of several changed values a step reads at all, by capturing it again with other values in their
place.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from roam_lab.capture import TrainingStep
from roam_lab.capture.sources.containers import Container
from roam_lab.capture.sources.guards import Differing
from roam_lab.capture.sources.probe import Probe, is_touched
from roam_lab.capture.sources.reachable import reach
from roam_lab.capture.training_step import roots_of

_COMPARED_BY_IDENTITY = (enum.Enum, type, FunctionType, BuiltinFunctionType, MethodType)


def unread(
    step: TrainingStep, changed: Sequence[Differing], is_still: Callable[[], bool]
) -> list[Differing]:  # fmt: skip
    """Those of the changed entries that the step does not read: whatever their value, the step is the same.

    `is_still`: captures the step again, and returns whether it is the very same. It is called with each of these in
    place of the entries: a probe, which is not None and on which every operation fails; None; their present values; and
    another value of the same type, for code that only looks at the type. Values that code compares by identity (members
    of enums, classes, functions) count as read.
    """
    changed = [
        one for one in changed if one.whole or not isinstance(one.container.entry(one.key), _COMPARED_BY_IDENTITY)
    ]
    for stand_in in (_probe, _none, _as_it_is, another):
        changed = _through(step, changed, stand_in, is_still)
    return changed


def _through(
    step: TrainingStep, changed: list[Differing], stand_in: Callable[[Any], Any], is_still: Callable[[], bool]
) -> list[Differing]:
    """Those entries that can be replaced by a stand-in without changing the step. All are tried at once, then again
    without those whose probe was touched, then in halves."""
    if not changed or (stand_in is another and all(another(one.container.entry(one.key)) is None for one in changed)):
        return changed
    stands, touched = _asked(step, changed, stand_in, is_still)
    if stands or len(changed) == 1:
        return changed if stands else []
    if touched:
        return _through(step, [one for one in changed if one not in touched], stand_in, is_still)
    half = len(changed) // 2
    halves = (changed[:half], changed[half:])
    return [one for part in halves for one in _through(step, part, stand_in, is_still)]


def another(value: Any) -> Any:
    """Another value of the same type, for a plain value; None for any other."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1_000_003
    if isinstance(value, float):
        return value * 3 + 1e6
    return f"{value}, but another" if isinstance(value, str) else None


def _as_it_is(value: Any) -> Any:
    return value


def _none(_: Any) -> None:
    return None


def _probe(_: Any) -> Probe:
    return Probe()


def _asked(
    step: TrainingStep, changed: list[Differing], stand_in: Callable[[Any], Any], is_still: Callable[[], bool]
) -> tuple[bool, list[Differing]]:
    """Whether the step is the same with stand-ins for these entries, and the entries whose stand-in was touched."""
    places = {
        one.path: [(container, key, stand_in(container.entry(key))) for container, key in _places(step, one)]
        for one in changed
    }
    if not all(places.values()):
        return False, [one for one in changed if not places[one.path]]
    try:
        with _put([place for several in places.values() for place in several]):
            stands = is_still()
    except (TypeError, ValueError, AttributeError):  # a stand-in that cannot be set: None as a function's code
        return False, []
    touched = [one for one in changed if any(is_touched(value) for _, _, value in places[one.path])]
    return stands and not touched, touched


def _places(step: TrainingStep, changed: Differing) -> Iterator[tuple[Container, Any]]:
    """The entries (container, key) to be replaced: the changed one itself, or, for a list or set whose entries came or
    went, every entry that refers to it."""
    if not changed.whole:
        yield changed.container, changed.key
        return
    for container in reach(roots_of(step)).containers:
        entries = container.read()
        for key, value in entries.items() if isinstance(entries, dict) else enumerate(entries):
            if value is changed.container.held and not isinstance(entries, set):
                yield container, key


@contextmanager
def _put(places: Sequence[tuple[Container, Any, Any]]) -> Iterator[None]:
    with ExitStack() as back:
        for container, key, value in places:
            back.callback(container.put, key, container.entry(key))
            container.put(key, value)
        yield
