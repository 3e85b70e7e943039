"""Which of several things that have changed a step reads at all: it is captured anew with others in their place."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from roam_lab.capture import TrainingStep
from roam_lab.capture.inputs import batch_leaves, with_leaves
from roam_lab.capture.sources.containers import Container
from roam_lab.capture.sources.guards import Differing
from roam_lab.capture.sources.probe import Probe, is_touched
from roam_lab.capture.sources.reachable import reach
from roam_lab.capture.training_step import roots_of

_TOLD_BY_IDENTITY = (enum.Enum, type, FunctionType, BuiltinFunctionType, MethodType)


def unread(
    step: TrainingStep, changed: Sequence[Differing], is_still: Callable[[], bool]
) -> list[Differing]:  # fmt: skip
    """Those of the changed entries on which nothing depends that the step does, whatever they become.

    `is_still`: whether a fresh capture is the very same step. It is asked as they are; with None in their place; with a
    probe, which no code takes for None and with which nothing can be done; and with another value of the same type, for
    code that looks at the type alone: first for all of them, then for halves. What is told by its identity (members of
    enums, classes, functions) counts as read.
    """
    changed = [one for one in changed if one.whole or not isinstance(one.container.entry(one.key), _TOLD_BY_IDENTITY)]
    if not changed:
        return []
    probe = Probe()

    def probing(_: Any) -> Probe:
        return probe

    stand_ins: tuple[Callable[[Any], Any], ...] = (_as_it_is, _none, probing, another)
    if all(_stands(step, changed, stand_in, is_still) for stand_in in stand_ins):
        return list(changed)
    if len(changed) == 1:
        return []
    half = len(changed) // 2
    return unread(step, changed[:half], is_still) + unread(step, changed[half:], is_still)


def is_leaf_unread(batch: Any, index: int, is_still: Callable[[Any], bool]) -> bool:
    """The same for one leaf of the batch."""
    leaves = batch_leaves(batch)
    for value in (leaves[index], None, Probe(), another(leaves[index])):
        leaves[index] = value
        if not is_still(with_leaves(batch, leaves)) or is_touched(value):
            return False
    return True


def another(value: Any) -> Any:
    """Another value of the same type, for plain ones; None for all others."""
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


def _stands(
    step: TrainingStep, changed: Sequence[Differing], stand_in: Callable[[Any], Any], is_still: Callable[[], bool]
) -> bool:
    places = [
        (container, key, stand_in(container.entry(key))) for one in changed for container, key in _places(step, one)
    ]
    if not all(any(True for _ in _places(step, one)) for one in changed):
        return False
    try:
        with _put(places):
            return is_still() and not any(is_touched(value) for _, _, value in places)
    except (TypeError, ValueError, AttributeError):  # what cannot stand there: None for a function's code
        return False


def _places(step: TrainingStep, changed: Differing) -> Iterator[tuple[Container, Any]]:
    """Where something has to be put: the entry itself, or wherever a list or set that has grown is held."""
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
